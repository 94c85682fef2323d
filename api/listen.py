"""A listening socket, or a sentence about why there is none."""

import errno
import socket

from cronkeeper.common.errors import Invalid


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address; port 0 takes any that is free.

    Raises:
        Invalid: nothing can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        what = {
            errno.EADDRINUSE: f"port {port} on {host} is taken: choose another one, such as PORT={port + 1}",
            errno.EACCES: f"port {port} on {host} is for root only: choose one above 1023, such as PORT=30000",
        }
        fallback = f"nothing can listen on port {port} of {host}: {error}"
        raise Invalid(what.get(error.errno, fallback) if error.errno is not None else fallback) from error
