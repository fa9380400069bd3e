// A sparse matrix as compressed sparse rows in three .npy files: the columns (int32) and the totals (int64) of all
// cells row by row, and where each row begins (int64, rows + 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/file.h"
#include "rows/row_accumulator.h"

namespace pivotkit {

class CsrWriter final : public RowSink {
 public:
  struct Paths {
    std::string columns, totals, offsets;
  };
  CsrWriter(Paths paths, std::size_t rows, std::size_t buffer);  // holds two buffers of so many bytes
  void put(const Row& row) override;
  void finish();  // the files are not whole before

  std::uint64_t cells() const noexcept { return cells_; }
  std::uint64_t bytes() const noexcept { return columns_.size() + totals_.size(); }
  std::uint64_t sum() const noexcept { return sum_; }  // of all totals, modulo 2^64
  double seconds() const noexcept { return columns_.seconds() + totals_.seconds(); }

 private:
  std::string offsets_path_;
  OutputFile columns_, totals_;
  std::vector<std::int64_t> offsets_;
  std::size_t next_row_ = 0;  // offsets up to this row are known
  std::uint64_t cells_ = 0, sum_ = 0;
};

}  // namespace pivotkit
