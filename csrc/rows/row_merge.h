// Adds up row files into one matrix, each row the sum of theirs: exact, in several threads, and in bounded memory
// whatever the number of files.
//
// A thread takes a range of rows, reads it from every file and adds up each row in a dense array over the columns.
// There is no heap: a cell costs one addition whatever the number of files. A row that only one file has is copied. The
// sums go to the sink in the order of rows. A thread whose turn has not come keeps its sums as long as there is room.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rows/row_accumulator.h"

namespace pivotkit {

// `memory` bounds the bytes of all threads together, apart from one RowAccumulator and two copies of the largest row of
// a file per thread. Throws CorruptFile, std::overflow_error for a total of 2^63 or more, and what the sink throws.
void merge_row_files(const std::vector<std::string>& paths, std::size_t rows, std::size_t columns, std::size_t memory,
                     int threads, RowSink& sink);

}  // namespace pivotkit
