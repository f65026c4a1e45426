"""The file that a compiled machine is kept in: decode tables, object code, and a checksum over them."""

from __future__ import annotations

import hashlib
import struct

MAGIC = b"rvhv-machine-1\n"
HEADER = struct.Struct("<32sII")  # sha256 of the rest; lengths of tables and object


class Blob:
    """The contents of such a file."""

    def __init__(self, tables: bytes, code: bytes) -> None:
        self.tables, self.code = tables, code

    def pack(self) -> bytes:
        rest = self.tables + self.code
        return MAGIC + HEADER.pack(hashlib.sha256(rest).digest(), len(self.tables), len(self.code)) + rest

    @staticmethod
    def unpack(data: bytes) -> Blob | None:
        """None when the bytes are not what `pack` wrote."""
        start = len(MAGIC) + HEADER.size
        if not data.startswith(MAGIC) or len(data) < start:
            return None
        digest, tables, code = HEADER.unpack_from(data, len(MAGIC))
        rest = data[start:]
        if len(rest) != tables + code or hashlib.sha256(rest).digest() != digest:
            return None
        return Blob(rest[:tables], rest[tables:])
