// An orthogonal change of basis that spreads every dimension over all of them: signs and Walsh-Hadamard transforms.
#pragma once

#include <cstdint>
#include <vector>

namespace pivotkit {

std::int64_t padded_cols(std::int64_t cols);  // to a multiple of 64, so that a transform has at least that size

class Rotation {
 public:
  explicit Rotation(std::int64_t cols);

  // In place on padded() doubles, zero beyond cols(); `spare` holds as many.
  void apply(double* values, double* spare) const;

  std::int64_t cols() const { return cols_; }
  std::int64_t padded() const { return padded_; }

 private:
  std::int64_t cols_, padded_, size_;
  std::vector<double> signs_[2];
};

}  // namespace pivotkit
