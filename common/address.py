"""A host and a port as people write them."""

from cronkeeper.common.errors import Invalid

HOW = "host:port, such as 127.0.0.1:30001 or [::1]:30001"


def parse_address(text: str) -> tuple[str, int]:
    """The host, of IPv6 without its brackets, and the port. Raises: Invalid."""
    host, _, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    port = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
    if not host or (":" in host) != bracketed or not 0 < port < 65536:
        raise Invalid(f"{text!r} is no address; accepted: {HOW}")
    return host.strip("[]"), port
