// Sums of rows of bits, column by column: the counts of 64 columns live in the bits of a few 64-bit planes, plane l
// holding bit l of each count, so that one addition of a row costs a few operations for 64 columns.
//
//   counts[c] = sum over rows r of bit c of r
//
// Rows come in groups of eight through a tree of carry-save adders (Harley & Seal; H. Warren, Hacker's Delight, section
// 5-1): seven adders give one carry to ripple up, where eight rows added one by one would ripple eight.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

class VerticalCounters {
 public:
  // `width` blocks of 64 columns; fewer than 2^31 rows may be added between two readings.
  void resize(std::size_t width) {
    width_ = width;
    planes_.assign(kPlanes * width, 0);
    used_ = 0;
  }

  void add8(const std::uint64_t* const (&rows)[8]) {
    std::uint64_t* ones = planes_.data();
    std::uint64_t* twos = ones + width_;
    std::uint64_t* fours = twos + width_;
    carry_.resize(width_);
    for (std::size_t i = 0; i < width_; ++i) {
      std::uint64_t a, b, c, d, e, f, g;
      const std::uint64_t s1 = sum(ones[i], rows[0][i], rows[1][i], a);
      const std::uint64_t s2 = sum(s1, rows[2][i], rows[3][i], b);
      const std::uint64_t s3 = sum(s2, rows[4][i], rows[5][i], c);
      ones[i] = sum(s3, rows[6][i], rows[7][i], d);
      const std::uint64_t t1 = sum(twos[i], a, b, e);
      twos[i] = sum(t1, c, d, f);
      fours[i] = sum(fours[i], e, f, g);
      carry_[i] = g;
    }
    ripple(3);
  }

  void add1(const std::uint64_t* row) {
    carry_.assign(row, row + width_);
    ripple(0);
  }

  // counts[c] for every column, c < 64 * width; then begins anew.
  void take(std::uint32_t* counts) {
    const std::size_t planes = std::max<std::size_t>(used_, 3);
    for (std::size_t i = 0; i < width_; ++i) {
      std::uint32_t* out = counts + 64 * i;
      std::fill(out, out + 64, 0U);
      for (std::size_t l = 0; l < planes; ++l) {
        const std::uint64_t bits = planes_[l * width_ + i];
        for (int c = 0; c < 64; ++c) out[c] += static_cast<std::uint32_t>(bits >> c & 1) << l;
      }
    }
    std::fill(planes_.begin(), planes_.begin() + static_cast<std::ptrdiff_t>(planes * width_), 0U);
    used_ = 0;
  }

 private:
  static constexpr std::size_t kPlanes = 32;

  // A full adder of 64 columns.
  static std::uint64_t sum(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t& carry) noexcept {
    const std::uint64_t half = a ^ b;
    carry = (a & b) | (half & c);
    return half ^ c;
  }

  // Adds carry_ to the counts at bit `plane`, as far up as any carry is left.
  void ripple(std::size_t plane) {
    for (std::uint64_t any = 1; any != 0; ++plane) {
      std::uint64_t* here = planes_.data() + plane * width_;
      any = 0;
      for (std::size_t i = 0; i < width_; ++i) {
        const std::uint64_t up = here[i] & carry_[i];
        here[i] ^= carry_[i];
        carry_[i] = up;
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
