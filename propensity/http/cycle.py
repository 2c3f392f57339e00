"""The cycle of uvicorn's protocol, with one write for each response.

uvicorn writes the head and the body of a response one after the other, which takes a system call, and a
packet on the wire, for each. Most responses get one of each here.
"""

from __future__ import annotations

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NOT_PLAIN = frozenset({b"connection", b"transfer-encoding"})
"""Headers that change how a response is sent."""


class Cycle(RequestResponseCycle):
    """A request and its response."""

    _head: Message | None = None

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send a message of the response; the head together with the first piece of the body."""
        if message["type"] == "http.response.start" and not self.response_started:
            # Nothing is sent yet: if the application fails now, the server's own response takes its place.
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None and self._is_plain(head, message):
            self._write(head, message)
            return
        if head is not None:
            await super().send(head)  # type: ignore[arg-type]
        await super().send(message)  # type: ignore[arg-type]

    def _is_plain(self, head: Message, body: Message) -> bool:
        """Whether the body is all there, has its length stated, and leaves the connection as it is."""
        if self.disconnected or not self.keep_alive or self.flow.write_paused or body.get("more_body"):
            return False
        if self.scope["method"] == "HEAD" or head["status"] in {204, 304}:
            return False
        fields = dict(head["headers"])
        return fields.get(b"content-length") == b"%d" % len(body.get("body", b"")) and _NOT_PLAIN.isdisjoint(
            fields
        )

    def _write(self, head: Message, body: Message) -> None:
        lines = [b"%b: %b\r\n" % field for field in (*self.default_headers, *head["headers"])]
        content = b"".join((STATUS_LINE[head["status"]], *lines, b"\r\n"))
        if content.count(b"\n") != len(lines) + 2 or content.count(b"\r") != len(lines) + 2:
            raise RuntimeError("a header of the response holds a line end")
        self.waiting_for_100_continue = False
        self.transport.write(content + body.get("body", b""))
        self.response_started = True
        self.response_complete = True
        self.message_event.set()
        self.on_response()
