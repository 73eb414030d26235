"""Reads the body of an answer, up to a limit, also if it is compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx

__all__ = ["ACCEPT_ENCODING", "pieces_of"]

ACCEPT_ENCODING = "gzip"
"""httpx would also decode other encodings, and any number of them on top of each other, and each
piece of the network without a limit: 2 KB can become 3 GB."""

_GZIP_WITH_HEADER = 16 + zlib.MAX_WBITS


def pieces_of(response: httpx.Response, limit: int) -> Iterator[bytes]:
    """Yield the body of an answer until it ends, or until it has more than `limit` bytes.

    At most one byte more than `limit` is decompressed.

    Raises:
        httpx.DecodingError: If its encoding was not asked for, or the body does not have it.
        httpx.HTTPError: If it does not arrive.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    pieces = response.iter_raw()
    if encoding == "gzip":
        pieces = _decompressed(pieces, limit)
    elif encoding not in ("", "identity"):
        raise httpx.DecodingError(f"its encoding is {encoding[:40]!r}, which was not asked for")
    left = limit
    for piece in pieces:
        yield piece
        left -= len(piece)
        if left < 0:
            return


def _decompressed(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    left, left_raw = limit + 1, limit
    decompressor = zlib.decompressobj(_GZIP_WITH_HEADER)
    is_empty = True
    for piece in pieces:
        is_empty = False
        if not decompressor.eof:
            try:
                content = decompressor.decompress(piece, left)
            except zlib.error as error:
                raise httpx.DecodingError("it is not gzip") from error
            yield content
            left -= len(content)
        # Read on after the end of the gzip, so that the connection can be used again.
        left_raw -= len(piece)
        if left <= 0 or left_raw < 0:
            return
    if not (decompressor.eof or is_empty):
        raise httpx.DecodingError("its gzip has no end")
