// UTF-8, strictly (RFC 3629): no overlong form, no surrogate, nothing beyond U+10FFFF.
#pragma once

#include <cstdint>

namespace pivotkit {

// Whether the bytes [p, end) are whole and valid sequences. One pass, without a branch for each character.
bool is_utf8(const std::uint8_t* p, const std::uint8_t* end) noexcept;

}  // namespace pivotkit
