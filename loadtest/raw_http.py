"""A client that writes whatever it is given: for requests that no proper HTTP client would send."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

TIMEOUT = 30.0
HEAD = 65_536


class Reply(NamedTuple):
    """An answer. `retry_after` in seconds, 0 if the server does not say."""

    status: int
    content_type: str
    retry_after: float
    body: bytes


class Hung(Exception):
    """The server closed the connection, or kept silent, instead of answering."""


class RawConnection:
    """One connection, opened when it is needed and again whenever it was closed; for one task at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, wire: bytes, *, keeps_alive: bool = True) -> Reply:
        """Write a request and read its answer. Raises Hung if there is none, OSError if nobody listens."""
        used = self._streams is not None
        try:
            return await self._once(wire, keeps_alive=keeps_alive)
        except (asyncio.IncompleteReadError, OSError, TimeoutError) as error:
            await self.close()
            # A connection that stood idle may be closed by the server at any moment: that is no answer to this request.
            if not used or (isinstance(error, asyncio.IncompleteReadError) and error.partial):
                raise Hung(str(error) or type(error).__name__) from error
        try:
            return await self._once(wire, keeps_alive=keeps_alive)
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError) as error:
            await self.close()
            raise Hung(str(error) or type(error).__name__) from error

    async def hang_up(self, wire: bytes) -> None:
        """Write a request and close the connection at once."""
        await self.close()
        _, writer = await self._open()
        writer.write(wire)
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            writer = streams[1]
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 2)

    async def _once(self, wire: bytes, *, keeps_alive: bool) -> Reply:
        reader, writer = await self._open()
        writer.write(wire)  # not drained: the server may answer, and hang up, before it has read everything
        reply, closes = await asyncio.wait_for(self._read(reader), TIMEOUT)
        if closes or not keeps_alive:
            await self.close()
        return reply

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader) -> tuple[Reply, bool]:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(first.split(" ")[1])
            if status >= 200:  # before that the server only says that it goes on
                break
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        closes = headers.get("connection", "").lower() == "close"
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body, closes = (b"", closes) if status in (204, 304) else (await reader.read(), True)
        pause = headers.get("retry-after", "")
        return Reply(status, headers.get("content-type", ""), float(pause) if pause.isdigit() else 0.0, body), closes
