// The documents of JSON lines: one object a line, of which "text", "id" and "lang" are wanted and all is checked.
//
//   for line in lines.split(b"\n"):
//       record = json.loads(line)
//       texts.append(record["text"]); ids.append(record.get("id")); langs.append(record.get("lang"))
//
// A line is taken when it is without doubt a valid JSON object (RFC 8259) in valid UTF-8 whose last "text" is a
// string, whose last "id" is absent, null, a string or an integer of at most 18 digits, and whose last "lang" is
// absent, null or a string. Strings come out unescaped, integers in decimal. Everything else is left to a slower and
// wider parser, which also finds the words for what is wrong: broken lines, but also valid ones with an escape in a key
// of the outer object, a number that may not fit a double, values of other types that a later key may replace, or more
// than 512 levels. So whatever is taken, any strict parser takes too, and with the same values.
//
// Cost: three passes over a line in the cache (its end, its UTF-8, its JSON); no memory but the output, which is never
// larger than the input.
#pragma once

#include <cstddef>

#include "common/byte_table.h"
#include "documents/document_block.h"

namespace pivotkit {

// Appends the documents of `lines` (whole lines; the last may lack its newline) to `block`, up to the first line that
// is left to the caller. Returns where that line begins, lines.size when there is none.
std::size_t append_json_lines(Bytes lines, DocumentBlock& block);

}  // namespace pivotkit
