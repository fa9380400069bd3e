#include "unembed/rotation.h"

#include <algorithm>
#include <cmath>

namespace pivotkit {

namespace {

// Signs are a hash of the dimension: the same on every machine, with no pattern that a head's dimensions could share.
bool flipped(std::int64_t d, std::uint64_t round) {
  std::uint64_t x = (static_cast<std::uint64_t>(d) + 1) * 0x9e3779b97f4a7c15u + round * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return (x >> 63) != 0;
}

// Walsh-Hadamard transform of each run of `size`, a power of two, without its factor of 1 / sqrt(size).
void transform(double* values, std::int64_t count, std::int64_t size) {
  for (std::int64_t half = 1; half < size; half *= 2)
    for (std::int64_t begin = 0; begin < count; begin += 2 * half)
      for (std::int64_t i = begin; i < begin + half; ++i) {
        const double a = values[i], b = values[i + half];
        values[i] = a + b;
        values[i + half] = a - b;
      }
}

}  // namespace

std::int64_t padded_cols(std::int64_t cols) { return (cols + 63) / 64 * 64; }

Rotation::Rotation(std::int64_t cols) : cols_(cols), padded_(padded_cols(cols)), size_(padded_ & -padded_) {
  for (std::uint64_t round = 0; round < 2; ++round)
    for (std::int64_t d = 0; d < padded_; ++d) signs_[round].push_back(flipped(d, round) ? -1.0 : 1.0);
}

void Rotation::apply(double* values, double* spare) const {
  const std::int64_t runs = padded_ / size_;
  for (std::int64_t d = 0; d < padded_; ++d) values[d] *= signs_[0][static_cast<std::size_t>(d)];
  transform(values, padded_, size_);
  double factor = 1.0 / std::sqrt(static_cast<double>(size_));
  if (runs > 1) {
    // Runs of one transform do not mix; a second one, across them, spreads each dimension over all.
    for (std::int64_t r = 0; r < runs; ++r)
      for (std::int64_t i = 0; i < size_; ++i) spare[i * runs + r] = values[r * size_ + i];
    for (std::int64_t d = 0; d < padded_; ++d) spare[d] *= signs_[1][static_cast<std::size_t>(d)];
    transform(spare, padded_, size_);
    std::copy_n(spare, padded_, values);
    factor *= factor;
  }
  for (std::int64_t d = 0; d < padded_; ++d) values[d] *= factor;
}

}  // namespace pivotkit
