// Row files into one matrix, each row the sum of theirs: exact, in bounded memory whatever the number of files, in several
// threads.
//
// A thread takes a range of rows, reads it from every file and adds each row up in a dense array over the columns (no heap: a
// cell costs one addition whatever the number of files). The sums go to the sink in the order of the rows: a thread whose
// turn has not come keeps them, as long as there is room.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rows/row_accumulator.h"

namespace pivotkit {

// `memory`: bytes of all threads together, beside a RowAccumulator and the largest row of a file for each. Throws
// CorruptFile, std::overflow_error for a total of 2^63 or more, and what the sink throws.
void merge_row_files(const std::vector<std::string>& paths, std::size_t rows, std::size_t columns, std::size_t memory,
                     int threads, RowSink& sink);

}  // namespace pivotkit
