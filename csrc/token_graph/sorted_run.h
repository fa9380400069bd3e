// Rows of a sparse matrix in a temporary file, in ascending order, to be merged later.
//
// A file is a list of frames, each a header (payload's length, its checksum, seeded with the frame's number) and a payload of
// whole segments of cells. The file's length is kept by who wrote it. So a run that was cut short, extended or altered is
// refused, never merged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/file.h"
#include "rows/row_accumulator.h"
#include "rows/row_cells.h"

namespace pivotkit {

struct SortedRun {
  std::string path;
  std::uint64_t bytes = 0;
  std::uint64_t cells = 0;
};

class RunWriter final : public RowSink {
 public:
  RunWriter(std::string path, std::size_t frame);  // `frame` bytes at most in a payload
  void put(const Row& row) override;
  SortedRun finish();
  double seconds() const noexcept { return file_.seconds(); }

 private:
  void segment(std::uint32_t row, const std::uint32_t* columns, const std::int64_t* totals, std::size_t size);
  void flush();

  SortedRun run_;
  OutputFile file_;
  std::vector<std::uint8_t> payload_;
  std::size_t used_ = 0;
  std::uint64_t frames_ = 0;
};

class RunReader {
 public:
  RunReader(const SortedRun& run, std::size_t frame);
  bool next();  // false after the last segment
  const Segment& segment() const noexcept { return segment_; }

 private:
  [[noreturn]] void corrupt(const std::string& problem) const;
  bool fill();

  InputFile file_;
  std::uint64_t bytes_, read_ = 0, frames_ = 0;
  std::vector<std::uint8_t> payload_;
  std::size_t at_ = 0, end_ = 0;
  Segment segment_{};
};

constexpr std::size_t kLeastFrame = 1024;

}  // namespace pivotkit
