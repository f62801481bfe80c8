"""uvicorn's quick HTTP/1.1 protocol, with a bound on the head of a request: httptools has none."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 1 << 16  # bytes of request line and headers, within one reading of the socket


class BoundedHttp(HttpToolsProtocol):
    """Answers 400 and closes the connection when the head of a request does not end within its bound."""

    _in_head, _head = True, 0

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting: the body has bounds of its own."""
        self._in_head, self._head = False, 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")
