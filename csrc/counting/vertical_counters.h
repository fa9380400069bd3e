// Sums of rows of bits, per column. The counts of 64 columns live in the bits of a few 64-bit planes, and plane l holds
// bit l of each count. So adding one row costs a few operations per 64 columns.
//
//   counts[c] = sum over rows r of bit c of r
//
// Rows come in groups of eight through a tree of carry-save adders (Harley & Seal; H. Warren, Hacker's Delight, section
// 5-1). Seven adders leave one carry to ripple up; eight rows added one by one would leave eight.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

class VerticalCounters {
 public:
  // There are `width` blocks of 64 columns. Fewer than 2^31 rows may be added between two readings.
  void resize(std::size_t width) {
    width_ = width;
    planes_.assign(kPlanes * width, 0);
    carry_.assign(width, 0);
    used_ = 0;
  }

  void add8(const std::uint64_t* const (&rows)[8]) {
    // Restricted, or the compiler could not work on several blocks at once.
    std::uint64_t* __restrict ones = planes_.data();
    std::uint64_t* __restrict twos = ones + width_;
    std::uint64_t* __restrict fours = twos + width_;
    std::uint64_t* __restrict carries = carry_.data();
    const std::uint64_t* __restrict r0 = rows[0];
    const std::uint64_t* __restrict r1 = rows[1];
    const std::uint64_t* __restrict r2 = rows[2];
    const std::uint64_t* __restrict r3 = rows[3];
    const std::uint64_t* __restrict r4 = rows[4];
    const std::uint64_t* __restrict r5 = rows[5];
    const std::uint64_t* __restrict r6 = rows[6];
    const std::uint64_t* __restrict r7 = rows[7];
    const std::size_t width = width_;
    for (std::size_t i = 0; i < width; ++i) {
      std::uint64_t a, b, c, d, e, f, g;
      const std::uint64_t s1 = sum(ones[i], r0[i], r1[i], a);
      const std::uint64_t s2 = sum(s1, r2[i], r3[i], b);
      const std::uint64_t s3 = sum(s2, r4[i], r5[i], c);
      ones[i] = sum(s3, r6[i], r7[i], d);
      const std::uint64_t t1 = sum(twos[i], a, b, e);
      twos[i] = sum(t1, c, d, f);
      fours[i] = sum(fours[i], e, f, g);
      carries[i] = g;
    }
    ripple(3);
  }

  void add1(const std::uint64_t* row) {
    std::copy(row, row + width_, carry_.begin());
    ripple(0);
  }

  // Gives counts[c] for every column c < 64 * width, then begins anew.
  void take(std::uint32_t* counts) {
    const std::size_t planes = std::max<std::size_t>(used_, 3);
    for (std::size_t i = 0; i < width_; ++i) {
      std::uint32_t* out = counts + 64 * i;
      std::fill(out, out + 64, 0U);
      for (std::size_t first = 0; first < planes; first += 8) take8(i, first, std::min(first + 8, planes), out);
    }
    std::fill(planes_.begin(), planes_.begin() + static_cast<std::ptrdiff_t>(planes * width_), 0U);
    used_ = 0;
  }

 private:
  static constexpr std::size_t kPlanes = 32;

  // Adds planes first .. last, at most eight, of block i. The bits of each plane are spread to bytes, eight columns at
  // a time.
  void take8(std::size_t i, std::size_t first, std::size_t last, std::uint32_t* out) const {
    for (std::size_t group = 0; group < 8; ++group) {
      std::uint64_t bytes = 0;  // byte c counts column 8 * group + c
      for (std::size_t l = first; l < last; ++l)
        bytes |= spread(planes_[l * width_ + i] >> 8 * group & 0xFF) << (l - first);
      for (std::size_t c = 0; c < 8; ++c)
        out[8 * group + c] += static_cast<std::uint32_t>(bytes >> 8 * c & 0xFF) << first;
    }
  }

  // Byte c of the result is bit c of `bits`.
  static std::uint64_t spread(std::uint64_t bits) noexcept {
    // Copies the eight bits into each byte, keeps only bit c of byte c, and carries what is left to the highest bit of
    // the byte.
    const std::uint64_t one = bits * 0x0101010101010101U & 0x8040201008040201U;
    return (one + 0x7F7F7F7F7F7F7F7FU) >> 7 & 0x0101010101010101U;
  }

  // A full adder of 64 columns.
  static std::uint64_t sum(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t& carry) noexcept {
    const std::uint64_t half = a ^ b;
    carry = (a & b) | (half & c);
    return half ^ c;
  }

  // Adds carry_ to the counts at bit `plane`, as far up as any carry is left.
  void ripple(std::size_t plane) {
    std::uint64_t* __restrict carries = carry_.data();
    const std::size_t width = width_;
    for (std::uint64_t any = 1; any != 0; ++plane) {
      std::uint64_t* __restrict here = planes_.data() + plane * width;
      any = 0;
      for (std::size_t i = 0; i < width; ++i) {
        const std::uint64_t up = here[i] & carries[i];
        here[i] ^= carries[i];
        carries[i] = up;
        any |= up;
      }
      used_ = std::max(used_, plane + 1);
    }
  }

  std::size_t width_ = 0;
  std::size_t used_ = 0;
  std::vector<std::uint64_t> planes_;  // (kPlanes, width)
  std::vector<std::uint64_t> carry_;
};

}  // namespace pivotkit
