// The documents of JSON lines: one object per line, of which "text", "id" and "lang" are wanted and all is checked.
//
//   for line in lines.split(b"\n"):
//       record = json.loads(line, parse_int=str, parse_float=str)
//       texts.append(record["text"]); ids.append(record.get("id")); langs.append(record.get("lang"))
//
// "langs" is another name of "lang". A list of languages comes out as one string with + between them.
//
// A line is taken if and only if it is a document:
//   - It is a JSON object (RFC 8259) in valid UTF-8. A byte order mark before it is passed over (section 8.1).
//   - The last member of a name counts, names compared without their escapes (section 4 leaves this to the reader).
//   - Its "text" is a string; its "id" is absent, null, a string or a number; its "lang" is absent, null, a string or a
//     list of strings; an empty list is none.
//     Strings come out unescaped. A number comes out as it is written, whatever its size; the integer -0 as 0.
//   - A surrogate escape has its partner in these strings. Elsewhere it may stand alone, and NaN, Infinity and
//     -Infinity may stand for numbers, as Python's json writes them.
//   - A value has at most 1024 levels (section 9 lets the reader set a limit).
// Every other line is left to the caller, who says what is wrong with it.
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
