// The documents of plain text: one per line, without its newline and a carriage return before it. An empty line is no
// document but counts as a row.
#pragma once

#include <cstddef>

#include "common/byte_table.h"
#include "documents/document_block.h"

namespace pivotkit {

// Appends the documents of `lines` (whole lines; the last may lack its newline) to `block`, up to the first line that
// is not valid UTF-8. Returns where that line begins, or lines.size if there is none. Cost: one pass.
std::size_t append_text_lines(Bytes lines, DocumentBlock& block);

}  // namespace pivotkit
