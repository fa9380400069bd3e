// The documents of JSON lines: one object a line, of which "text", "id" and "lang" are wanted and all is checked.
//
//   for line in lines.split(b"\n"):
//       record = json.loads(line)
//       texts.append(record["text"]); ids.append(record.get("id")); langs.append(record.get("lang"))
//
// A line is taken if it is certainly a valid JSON object (RFC 8259) in valid UTF-8 with these values: its last "text"
// is a string; its last "id" is absent, null, a string or an integer of at most 18 digits; its last "lang" is absent,
// null or a string. Strings come out unescaped, integers in decimal. Every other line is left to a slower and wider
// parser, which also says what is wrong with it. Besides broken lines these are valid lines with an escape in a key of
// the outer object, a number that may not fit a double, values of other types that a later key may replace, or more
// than 512 levels. So a strict parser takes every line that is taken here, with the same values.
//
// Cost: three passes over a line in the cache (its end, its UTF-8, its JSON). No memory but the output, which is never
// larger than the input.
#pragma once

#include <cstddef>

#include "common/byte_table.h"
#include "documents/document_block.h"

namespace pivotkit {

// Appends the documents of `lines` (whole lines; the last may lack its newline) to `block`, up to the first line that
// is left to the caller. Returns where that line begins, or lines.size if there is none.
std::size_t append_json_lines(Bytes lines, DocumentBlock& block);

}  // namespace pivotkit
