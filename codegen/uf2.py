"""UF2, the format that boot loaders take as a file on a USB drive (github.com/microsoft/uf2)."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<8I")
_BEGIN, _BEGIN_TOO, _END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_FAMILY_PRESENT = 0x2000
_BLOCK_BYTES, _CONTENT_BYTES = 512, 256


def uf2_image(content: bytes, address: int, family: int) -> bytes:
    """A binary image as UF2: blocks of 512 bytes, each with 256 of the image and where they go.

    Args:
        address: of the first byte; the image's end is padded with zeros.
        family: id of the chip, which others refuse.
    """
    count = -(-len(content) // _CONTENT_BYTES)
    blocks = []
    for k in range(count):
        begin = k * _CONTENT_BYTES
        header = _HEADER.pack(
            _BEGIN, _BEGIN_TOO, _FAMILY_PRESENT, address + begin, _CONTENT_BYTES, k, count, family
        )
        block = header + content[begin : begin + _CONTENT_BYTES]
        blocks.append(block.ljust(_BLOCK_BYTES - 4, b"\0") + struct.pack("<I", _END))
    return b"".join(blocks)
