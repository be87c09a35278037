//! The rules by which a [`Ticket`] gets its [`Priority`]. The same ticket gets the same, always.

use schemas::ops::prioritization::v1::{Kind, Priority, Ticket, Urgency};

const SCORE_MAX: i32 = 100;

/// From this score on, something is that urgent.
const URGENCIES: [(i32, Urgency); 4] =
    [(75, Urgency::Critical), (50, Urgency::High), (20, Urgency::Normal), (i32::MIN, Urgency::Low)];

/// If `applies` then `points`.
struct Rule {
    reason: &'static str,
    points: i32,
    applies: fn(&Ticket) -> bool,
}

/// All of them that apply count.
const RULES: [Rule; 11] = [
    Rule { reason: "an outage", points: 45, applies: |ticket| ticket.kind() == Kind::Outage },
    Rule { reason: "a defect", points: 25, applies: |ticket| ticket.kind() == Kind::Defect },
    Rule { reason: "a question", points: 15, applies: |ticket| ticket.kind() == Kind::Question },
    Rule { reason: "a wish", points: 5, applies: |ticket| ticket.kind() == Kind::Wish },
    Rule { reason: "more than 1,000 people", points: 30, applies: |ticket| ticket.people > 1_000 },
    Rule { reason: "more than 50 people", points: 20, applies: |ticket| (51..=1_000).contains(&ticket.people) },
    Rule { reason: "more than 1 person", points: 10, applies: |ticket| (2..=50).contains(&ticket.people) },
    Rule { reason: "too late within 4 hours", points: 25, applies: |ticket| is_due(ticket, 0..=4) },
    Rule { reason: "too late within a day", points: 15, applies: |ticket| is_due(ticket, 5..=24) },
    Rule { reason: "too late within a week", points: 5, applies: |ticket| is_due(ticket, 25..=168) },
    Rule { reason: "a workaround", points: -20, applies: |ticket| ticket.has_workaround },
];

fn is_due(ticket: &Ticket, hours: std::ops::RangeInclusive<u32>) -> bool {
    ticket.hours_left.is_some_and(|left| hours.contains(&left))
}

/// What the rules make of `ticket`.
pub(crate) fn priority(ticket: &Ticket) -> Priority {
    let rules: Vec<_> = RULES.iter().filter(|rule| (rule.applies)(ticket)).collect();
    let points: i32 = rules.iter().map(|rule| rule.points).sum();
    let score = points.clamp(0, SCORE_MAX);
    let urgency = URGENCIES.iter().find(|(from, _)| score >= *from).map_or(Urgency::Low, |(_, urgency)| *urgency);
    Priority {
        urgency: urgency.into(),
        score: score.unsigned_abs(),
        reasons: rules.iter().map(|rule| format!("{} {:+}", rule.reason, rule.points)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ticket: Ticket, score: u32, urgency: Urgency) {
        let priority = priority(&ticket);
        assert_eq!((priority.score, priority.urgency()), (score, urgency), "{ticket:?}: {:?}", priority.reasons);
    }

    fn ticket(kind: Kind, people: u32, hours_left: Option<u32>, has_workaround: bool) -> Ticket {
        Ticket { title: String::new(), kind: kind.into(), people, hours_left, has_workaround }
    }

    #[test]
    fn points_add_up_to_an_urgency() {
        check(ticket(Kind::Outage, 100_000, Some(0), false), 100, Urgency::Critical);
        check(ticket(Kind::Outage, 1_001, None, false), 75, Urgency::Critical);
        check(ticket(Kind::Outage, 1, None, false), 45, Urgency::Normal);
        check(ticket(Kind::Defect, 51, Some(24), false), 60, Urgency::High);
        check(ticket(Kind::Defect, 50, Some(25), false), 40, Urgency::Normal);
        check(ticket(Kind::Question, 1, Some(169), false), 15, Urgency::Low);
    }

    #[test]
    fn a_score_is_never_below_nothing() {
        check(ticket(Kind::Wish, 1, None, true), 0, Urgency::Low);
        check(ticket(Kind::Unspecified, 0, None, false), 0, Urgency::Low);
    }
}
