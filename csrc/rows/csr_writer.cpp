#include "rows/csr_writer.h"

#include <utility>

namespace pivotkit {
namespace {

constexpr std::size_t kHeader = 128;

// Version 1.0 of the format: magic, version, length of the dictionary, the dictionary padded by spaces and a newline.
std::string npy_header(const std::string& type, std::uint64_t size) {
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(kHeader - 10);
  header += '\0';
  header += "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + std::to_string(size) + ",), }";
  header.resize(kHeader - 1, ' ');
  return header + '\n';
}

}  // namespace

CsrWriter::CsrWriter(Paths paths, std::size_t rows, std::size_t buffer)
    : offsets_path_(std::move(paths.offsets)), columns_(std::move(paths.columns), buffer),
      totals_(std::move(paths.totals), buffer), offsets_(rows + 1) {
  columns_.write(npy_header("<i4", 0).data(), kHeader);
  totals_.write(npy_header("<i8", 0).data(), kHeader);
}

void CsrWriter::put(const Row& row) {
  while (next_row_ < row.id) offsets_[++next_row_] = static_cast<std::int64_t>(cells_);
  columns_.write(row.columns, row.size * sizeof(std::uint32_t));
  totals_.write(row.totals, row.size * sizeof(std::int64_t));
  for (std::size_t i = 0; i < row.size; ++i) sum_ += static_cast<std::uint64_t>(row.totals[i]);
  cells_ += row.size;
}

void CsrWriter::finish() {
  while (next_row_ + 1 < offsets_.size()) offsets_[++next_row_] = static_cast<std::int64_t>(cells_);
  columns_.write_at(0, npy_header("<i4", cells_).data(), kHeader);
  totals_.write_at(0, npy_header("<i8", cells_).data(), kHeader);
  columns_.close();
  totals_.close();
  OutputFile offsets(offsets_path_, 0);
  offsets.write(npy_header("<i8", offsets_.size()).data(), kHeader);
  offsets.write(offsets_.data(), offsets_.size() * sizeof(std::int64_t));
  offsets.close();
}

}  // namespace pivotkit
