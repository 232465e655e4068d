"""CRC-32C (Castagnoli) in pure Python, fast enough not to matter beside JSON.

Short data take a table of 256 entries, a byte a step. Long data are first made short by arithmetic on large integers,
which Python does at memory speed. Data are a polynomial over GF(2), and the CRC is its remainder modulo the polynomial
P of CRC-32C. P divides

    x^437 + x^177 + x^176 + x^171 + x^58 + 1,

so ``h * x^437`` may be replaced by ``h * (x^177 + x^176 + x^171 + x^58 + 1)`` without a change of the remainder: a few
shifts and exclusive ors that make the data 260 bits shorter at once. Squared n times, the polynomial has the same six
terms with exponents 2^n times as large, and P divides it as well. So each size of data has a step that nearly halves
it.
"""

_POLYNOMIAL = 0x82F63B78
# x^_TOP is replaced by the sum of x^t for these t.
_TOP = 437
_TERMS = (177, 176, 171, 58, 0)
# Below this many bytes the table is faster.
_SHORT_BYTES = 160


def _make_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _make_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of these bytes."""
    if len(data) < _SHORT_BYTES:
        return _by_table(0xFFFFFFFF, data) ^ 0xFFFFFFFF
    return _by_table(0, _shorten(data)) ^ 0xFFFFFFFF


def _by_table(crc: int, data: bytes) -> int:
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _shorten(data: bytes) -> bytes:
    """Fewer bytes with the same remainder; what the CRC begins with is mixed in already."""
    # The lowest bit is the coefficient of the highest power, as CRC-32C orders bits.
    bits = len(data) * 8
    value = int.from_bytes(data, "little") ^ 0xFFFFFFFF
    scale = 1
    while _TOP * scale * 2 < bits:
        scale *= 2
    while scale:
        top = _TOP * scale
        step_max = top - _TERMS[0] * scale
        shifts = [top - term * scale for term in _TERMS]
        while bits > top:
            step = min(bits - top, step_max)
            high = value & ((1 << step) - 1)
            bits -= step
            value >>= step
            for shift in shifts:
                value ^= high << (shift - step)
        scale //= 2
    # To whole bytes: zeros before the highest power change nothing.
    padding = -bits % 8
    return (value << padding).to_bytes((bits + padding) // 8, "little")
