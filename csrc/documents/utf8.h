// UTF-8, strictly (RFC 3629): no overlong form, no surrogate, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pivotkit {

// The first bytes at `p`, zeros beyond `end`, the first of them lowest.
inline std::uint32_t four_bytes(const std::uint8_t* p, const std::uint8_t* end) noexcept {
  if (end - p >= 4)
    return std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24;
  std::uint32_t bytes = 0;
  for (std::ptrdiff_t i = 0; i < end - p; ++i) bytes |= std::uint32_t{p[i]} << 8 * i;
  return bytes;
}

// Bytes of the sequence of two to four that `bytes` begin with; 0 when they begin with none.
inline unsigned sequence_length(std::uint32_t bytes) noexcept {
  if ((bytes & 0x00c0c0f0u) == 0x008080e0u) {
    const std::uint32_t code = (bytes & 0x0fu) << 12 | (bytes & 0x3f00u) >> 2 | (bytes >> 16 & 0x3fu);
    return code >= 0x800u && code - 0xd800u >= 0x800u ? 3 : 0;
  }
  if ((bytes & 0x0000c0e0u) == 0x000080c0u) return (bytes & 0x1eu) != 0 ? 2 : 0;
  if ((bytes & 0xc0c0c0f8u) == 0x808080f0u) {
    const std::uint32_t high = (bytes & 0x07u) << 2 | (bytes >> 12 & 0x03u);  // the code point's bits from 16 on
    return high >= 1 && high <= 0x10 ? 4 : 0;
  }
  return 0;
}

// `bytes` lowest first; returns how many.
inline unsigned encode_utf8(std::uint32_t code, std::uint8_t* out) noexcept {
  const auto tail = [code](unsigned shift) { return static_cast<std::uint8_t>(0x80u | (code >> shift & 0x3fu)); };
  if (code < 0x80) {
    out[0] = static_cast<std::uint8_t>(code);
    return 1;
  }
  if (code < 0x800) {
    out[0] = static_cast<std::uint8_t>(0xc0u | code >> 6);
    out[1] = tail(0);
    return 2;
  }
  if (code < 0x10000) {
    out[0] = static_cast<std::uint8_t>(0xe0u | code >> 12);
    out[1] = tail(6);
    out[2] = tail(0);
    return 3;
  }
  out[0] = static_cast<std::uint8_t>(0xf0u | code >> 18);
  out[1] = tail(12);
  out[2] = tail(6);
  out[3] = tail(0);
  return 4;
}

}  // namespace pivotkit
