// UTF-8, strictly (RFC 3629): no overlong form, no surrogate, nothing beyond U+10FFFF.
#pragma once

#include <cstdint>

namespace pivotkit {

// Whether the bytes [p, end) are whole and valid sequences. One pass, without a branch for each character.
bool is_utf8(const std::uint8_t* p, const std::uint8_t* end) noexcept;

// Writes `code` (a scalar value) at `out`, one to four bytes; returns how many.
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
