// A sparse matrix in a temporary file, its rows in ascending order, to be merged later.
//
// The file is a list of records (rows/row_records.h). The writer keeps the length and the digest of the file, so a run
// that was cut short, extended or altered is refused, never merged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "rows/row_accumulator.h"
#include "rows/row_records.h"

namespace pivotkit {

struct SortedRun {
  std::string path;
  std::uint64_t bytes = 0, digest = 0;
};

constexpr std::size_t kLeastRunBuffer = 1024;

class RunWriter final : public RowSink {
 public:
  // Through a buffer of so many bytes; a row whose record would be larger is split.
  RunWriter(std::string path, std::size_t buffer);
  void put(const Row& row) override;
  SortedRun finish();  // nothing is whole before
  double seconds() const noexcept { return records_.seconds(); }

 private:
  std::string path_;
  RecordWriter records_;
  std::size_t most_cells_;  // of a record
};

}  // namespace pivotkit
