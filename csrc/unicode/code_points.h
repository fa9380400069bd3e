// UTF-8 to code points and back, and tables over all code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "common/byte_table.h"
#include "common/hash.h"

namespace pivotkit {

inline constexpr std::uint32_t kCodePoints = 0x110000;
inline constexpr std::uint32_t kReplacement = 0xFFFD;

struct CodePoint {
  std::uint32_t value;
  std::uint32_t length;  // bytes, at least 1
};

namespace detail {

// The code point of the first three bytes of a little-endian word, which must have the form of one.
inline std::uint32_t three(std::uint32_t bytes) noexcept {
  return (bytes & 0x0F) << 12 | (bytes >> 2 & 0xFC0) | (bytes >> 16 & 0x3F);
}

// Any code point, a byte at a time.
inline CodePoint decode_slowly(const std::uint8_t* data, std::size_t size) noexcept {
  const std::uint32_t lead = data[0];
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {kReplacement, 1};
  std::uint32_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  std::uint32_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  const std::uint32_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  std::uint32_t value = lead & (0x3FU >> more);
  for (std::uint32_t i = 1; i <= more; ++i) {
    if (i >= size || data[i] < low || data[i] > high) return {kReplacement, i};
    value = value << 6 | (data[i] & 0x3FU);
    low = 0x80;
    high = 0xBF;
  }
  return {value, more + 1};
}

}  // namespace detail

// The code point that begins at data[0], size >= 1. Ill-formed bytes (overlong, surrogate, beyond 0x10FFFF, cut short)
// become U+FFFD, one per maximal subpart of a well-formed sequence (Unicode 3.9, table 3-7), as in Python's
// `bytes.decode("utf-8", "replace")`.
inline CodePoint decode(const std::uint8_t* data, std::size_t size) noexcept {
  const std::uint32_t lead = data[0];
  if (size >= 4 && lead >= 0xE0) {
    std::uint32_t bytes;
    std::memcpy(&bytes, data, 4);
    const std::uint32_t value = detail::three(bytes);
    if ((bytes & 0xC0C0F0) == 0x8080E0 && value >= 0x800 && value - 0xD800 >= 0x800) return {value, 3};
  } else if (size >= 2 && lead >= 0xC2 && lead < 0xE0 && (data[1] & 0xC0) == 0x80) {
    return {(lead & 0x1F) << 6 | (data[1] & 0x3FU), 2};
  }
  return detail::decode_slowly(data, size);
}

// The same for text that is known to be well-formed and readable for 3 bytes more.
inline CodePoint decode_valid(const std::uint8_t* data) noexcept {
  const std::uint32_t lead = data[0];
  if (lead < 0x80) return {lead, 1};
  if (lead >= 0xE0 && lead < 0xF0) {
    std::uint32_t bytes;
    std::memcpy(&bytes, data, 4);
    return {detail::three(bytes), 3};
  }
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (data[1] & 0x3FU), 2};
  return {(lead & 0x07) << 18 | (data[1] & 0x3FU) << 12 | (data[2] & 0x3FU) << 6 | (data[3] & 0x3FU), 4};
}

// The code point that ends before data[at], at >= 1; U+FFFD for ill-formed bytes.
inline std::uint32_t code_point_before(Bytes text, std::size_t at) noexcept {
  std::size_t begin = at - 1;
  while (begin > 0 && at - begin < 4 && (text.data[begin] & 0xC0) == 0x80) --begin;
  const CodePoint code = decode(text.data + begin, at - begin);
  return begin + code.length == at ? code.value : kReplacement;
}

// Writes the UTF-8 of `value` at `out`, up to 4 bytes; returns their number.
inline std::size_t encode(std::uint32_t value, std::uint8_t* out) noexcept {
  if (value < 0x80) {
    out[0] = static_cast<std::uint8_t>(value);
    return 1;
  }
  const std::size_t more = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
  for (std::size_t i = more; i > 0; --i, value >>= 6) out[i] = static_cast<std::uint8_t>(0x80 | (value & 0x3F));
  out[0] = static_cast<std::uint8_t>((0xFF00U >> (more + 1) & 0xFF) | value);
  return more + 1;
}

// A value per code point, in blocks of 64. Equal blocks are stored once.
template <class Value>
class CodePointTable {
 public:
  static constexpr std::uint32_t kBlock = 64;

  // `values` (kCodePoints).
  explicit CodePointTable(const Value* values) : block_of_(kCodePoints / kBlock) {
    std::unordered_multimap<std::uint64_t, std::uint32_t> known;
    for (std::uint32_t block = 0; block < block_of_.size(); ++block) {
      const Value* entries = values + std::size_t{block} * kBlock;
      constexpr std::size_t kSize = kBlock * sizeof(Value);
      const auto same = [&](std::uint32_t begin) { return std::memcmp(entries, values_.data() + begin, kSize) == 0; };
      if (block > 0 && same(block_of_[block - 1])) {
        block_of_[block] = block_of_[block - 1];
        continue;
      }
      const std::uint64_t hash = hash_bytes(reinterpret_cast<const std::uint8_t*>(entries), kSize, 0);
      const auto [first, last] = known.equal_range(hash);
      auto at = first;
      while (at != last && !same(at->second)) ++at;
      if (at == last) {
        at = known.emplace(hash, static_cast<std::uint32_t>(values_.size()));
        values_.insert(values_.end(), entries, entries + kBlock);
      }
      block_of_[block] = at->second;
    }
    sharers_.assign(values_.size() / kBlock, 0);
    for (const std::uint32_t begin : block_of_) ++sharers_[begin / kBlock];
  }

  const Value& operator[](std::uint32_t code_point) const noexcept {
    return values_[block_of_[code_point / kBlock] + code_point % kBlock];
  }

  // The value of `code_point` alone, to be changed.
  Value& edit(std::uint32_t code_point) {
    std::uint32_t& begin = block_of_[code_point / kBlock];
    if (sharers_[begin / kBlock] > 1) {
      --sharers_[begin / kBlock];
      const std::vector<Value> copy(values_.begin() + begin, values_.begin() + begin + kBlock);
      begin = static_cast<std::uint32_t>(values_.size());
      values_.insert(values_.end(), copy.begin(), copy.end());
      sharers_.push_back(1);
    }
    return values_[begin + code_point % kBlock];
  }

  std::size_t bytes() const noexcept {
    return values_.capacity() * sizeof(Value) + (block_of_.size() + sharers_.capacity()) * sizeof(std::uint32_t);
  }

 private:
  std::vector<std::uint32_t> block_of_;  // where a block's values begin
  std::vector<std::uint32_t> sharers_;   // how many blocks have the same
  std::vector<Value> values_;
};

}  // namespace pivotkit
