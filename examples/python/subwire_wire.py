"""What both sides of a call write and read: errors and metadata.

Sections 2.1 and 2.2 of PROTOCOL.md.
"""

import base64
import re

import protos  # noqa: F401  (makes the next imports possible)
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

ERROR_CODE = "Nats-Service-Error-Code"
ERROR_TEXT = "Nats-Service-Error"
FRAME = "Subwire-Frame"
TIMEOUT = "Subwire-Timeout"

ERROR_TEXT_CHARACTERS = 256
METADATA_BYTES = 16 * 1024

# What services of other makes answer with.
_FROM_HTTP = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    408: code_pb2.DEADLINE_EXCEEDED,
    409: code_pb2.ABORTED,
    429: code_pb2.RESOURCE_EXHAUSTED,
    499: code_pb2.CANCELLED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    502: code_pb2.UNAVAILABLE,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}


class Status(Exception):
    """How a call failed: a number of google.rpc.Code, a text, and typed details."""

    def __init__(self, code, message, details=()):
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = list(details)

    @classmethod
    def of_runtime(cls, code, reason, message):
        """An error that no handler made. The reason says whether one may have run."""
        return cls(code, message).with_detail(
            error_details_pb2.ErrorInfo(domain="subwire", reason=reason)
        )

    @classmethod
    def from_proto(cls, status):
        return cls(status.code, status.message, status.details)

    def to_proto(self):
        return status_pb2.Status(
            code=self.code, message=self.message, details=self.details
        )

    def with_detail(self, message):
        self.details.append(_packed(message))
        return self

    def detail(self, kind):
        """The first detail of this message type, decoded, or None."""
        for detail in self.details:
            found = kind()
            if detail.Unpack(found):
                return found
        return None

    def __str__(self):
        return f"{_code_name(self.code)}: {self.message}"


def _packed(message):
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _code_name(code):
    return (
        code_pb2.Code.Name(code) if code in code_pb2.Code.values() else f"code {code}"
    )


def header(headers, name):
    """Header names keep their case on the way, and not everybody writes ours."""
    for key, value in (headers or {}).items():
        if key.lower() == name.lower():
            return value
    return None


def read_error(headers, payload):
    """The error that a message is, or None if it is none."""
    if header(headers, "Status") == "503" and not payload:
        return Status.of_runtime(
            code_pb2.UNAVAILABLE, "NO_RESPONDERS", "nobody listens on this subject"
        )
    number, text = header(headers, ERROR_CODE), header(headers, ERROR_TEXT)
    if number is None and text is None:
        return None
    code = _read_code(number)
    try:
        whole = status_pb2.Status.FromString(payload)
    except DecodeError:
        whole = status_pb2.Status()
    if whole.code == code:
        return Status.from_proto(whole)
    return Status(code, text or "")


def _read_code(number):
    if number is None or not number.isdecimal():
        return code_pb2.UNKNOWN
    code = int(number)
    return code if 0 < code <= 16 else _FROM_HTTP.get(code, code_pb2.UNKNOWN)


def write_error(status):
    """Headers and payload of an error."""
    text = "".join(c if " " <= c <= "~" else "?" for c in status.message)
    headers = {
        ERROR_CODE: str(status.code),
        ERROR_TEXT: text[:ERROR_TEXT_CHARACTERS].strip() or _code_name(status.code),
    }
    return headers, status.to_proto().SerializeToString()


def write_metadata(metadata, prefix=""):
    """Headers for metadata: text by name, or bytes by a name that ends in `-bin`."""
    headers, size = {}, 0
    for name, value in metadata.items():
        name = name.lower()
        if _is_reserved(name) or not re.fullmatch("[a-z0-9_.-]+", name):
            raise _invalid_metadata(f"the name {name!r} is reserved or not legal")
        is_bytes = name.endswith("-bin")
        raw = value if is_bytes else value.encode()
        size += len(name) + len(raw)
        headers[prefix + name] = (
            base64.b64encode(raw).decode() if is_bytes else _percent_encoded(raw)
        )
    if size > METADATA_BYTES:
        raise _invalid_metadata(f"{size} bytes, and {METADATA_BYTES} are the limit")
    return headers


def _invalid_metadata(message):
    return Status.of_runtime(
        code_pb2.INVALID_ARGUMENT, "INVALID_METADATA", f"metadata: {message}"
    )


def read_metadata(headers):
    """The metadata among headers."""
    return {
        name.lower(): _read_value(name.lower(), value)
        for name, value in (headers or {}).items()
        if not _is_reserved(name)
    }


def read_trailers(headers):
    """The metadata that belongs behind the message of a unary answer."""
    return read_metadata(
        {
            name[len("trailer-") :]: value
            for name, value in (headers or {}).items()
            if name.lower().startswith("trailer-")
        }
    )


def read_entries(entries):
    """The metadata in a frame."""
    return {
        entry.name: _read_value(entry.name, entry.value) for entry in entries.entries
    }


def _is_reserved(name):
    name = name.lower()
    return (
        name.startswith(("nats-", "subwire-", "trailer-")) or name == "content-type"
    )


def _percent_encoded(raw):
    last = len(raw) - 1
    return "".join(
        f"%{byte:02X}"
        if not 0x20 <= byte <= 0x7E
        or byte == ord("%")
        or (byte == ord(" ") and at in (0, last))
        else chr(byte)
        for at, byte in enumerate(raw)
    )


def _read_value(name, value):
    if name.endswith("-bin"):
        bare = value.rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    decoded = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda match: bytes.fromhex(match[1].decode()),
        value.encode(),
    )
    return decoded.decode(errors="replace")
