// Row files added up by many numbers of threads, without Python: the program for the thread sanitizer. Every table must be,
// to the byte, the one that a single thread writes; where a file is damaged every thread must come to an end.
//
// merge_threads FOLDER    an empty one, for the files
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/file.h"
#include "rows/csr_writer.h"
#include "rows/row_file.h"
#include "rows/row_merge.h"

namespace {

using namespace pivotkit;

constexpr std::size_t kRows = 300, kColumns = 2000;

std::uint64_t state = 1;
std::uint64_t draw(std::uint64_t below) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return (state >> 33) % below;
}

void write_file(const std::string& path) {
  RowFileWriter file(path, kRows, 4096);
  std::vector<std::uint32_t> columns;
  std::vector<std::int64_t> totals;
  for (std::uint32_t row = 0; row < kRows; ++row) {
    columns.clear();
    totals.clear();
    const std::uint64_t step = 1 + draw(kColumns);
    for (std::uint64_t column = draw(step); column < kColumns; column += 1 + draw(step)) {
      columns.push_back(static_cast<std::uint32_t>(column));
      totals.push_back(static_cast<std::int64_t>(1 + draw(100'000)));
    }
    file.put(row, columns.data(), totals.data(), columns.size());
  }
  file.finish();
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string merge(const std::vector<std::string>& paths, std::size_t memory, int threads, const std::string& folder) {
  const CsrWriter::Paths out{folder + "/columns", folder + "/totals", folder + "/offsets"};
  CsrWriter table(out, kRows, 4096);
  merge_row_files(paths, kRows, kColumns, memory, threads, table);
  table.finish();
  return read(out.columns) + read(out.totals) + read(out.offsets);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::string folder = arguments[1];
  std::vector<std::string> paths;
  for (int i = 0; i < 5; ++i) write_file(paths.emplace_back(folder + "/" + std::to_string(i)));
  const std::string expected = merge(paths, 1 << 22, 1, folder);
  int failures = 0;
  const auto expect = [&](bool good, const std::string& what) {
    if (good) return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  };
  for (const std::size_t memory : {std::size_t{1} << 12, std::size_t{1} << 16, std::size_t{1} << 22})
    for (const int threads : {1, 2, 3, 8})
      expect(merge(paths, memory, threads, folder) == expected,
             std::to_string(threads) + " threads in " + std::to_string(memory) + " bytes");

  std::string raw = read(paths[3]);
  raw[raw.size() / 2] ^= 1;
  std::ofstream(paths[3], std::ios::binary) << raw;
  for (const int threads : {1, 2, 8}) {
    try {
      merge(paths, 1 << 14, threads, folder);
      expect(false, "a damaged file added up");
    } catch (const CorruptFile& corrupt) {
      expect(corrupt.path == paths[3], std::string("the wrong file blamed: ") + corrupt.what());
    }
  }
  return failures == 0 ? 0 : 1;
}
