//! [`tickets`]: what people want.

use schemas::ops::prioritization::v1::{Kind, Ticket};

/// What people want, in the order in which they came.
pub(crate) fn tickets() -> Vec<Ticket> {
    let ticket = |kind: Kind, title: &str, people, hours_left, has_workaround| Ticket {
        title: title.to_owned(),
        kind: kind.into(),
        people,
        hours_left,
        has_workaround,
    };
    vec![
        ticket(Kind::Wish, "a dark theme", 1_200, None, true),
        ticket(Kind::Outage, "nobody can sign in", 40_000, Some(1), false),
        ticket(Kind::Question, "how to export a report", 1, None, false),
        ticket(Kind::Defect, "totals are off by a cent", 300, Some(24), false),
        ticket(Kind::Defect, "a button is cut off on small screens", 30, None, true),
        ticket(Kind::Outage, "the printer of the third floor is dead", 12, Some(48), true),
        ticket(Kind::Wish, "the report in Norwegian", 6, Some(160), false),
        ticket(Kind::Defect, "invoices are sent twice", 2_500, Some(4), false),
    ]
}
