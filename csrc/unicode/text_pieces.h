// Text in lines or in sentences.
//
// A piece begins at a character that is not white space. What comes before it belongs to the piece before; white space
// at the beginning of a text belongs to its first piece. So pieces cover the text, and a text of no bytes has none.
//
//   line       after a line break (LF, CR, VT, FF, NEL, LS, PS)
//   sentence   after two line breaks (an empty line) or one of PS, and after the end of a sentence:
//              - a full stop of a script without spaces (。！？ and their forms) and closing signs behind it
//              - . ! ? … and those of other scripts, closing signs, and white space, where no small letter comes next.
//                A full stop behind a single letter is an initial's. No sentence begins with what ends one.
//
// This is the sentence boundary of UAX #29 (SB4, SB6 to SB11) with two changes: a single line break does not end a
// sentence, because much text is wrapped; and small letters are those of the Latin, Greek and Cyrillic blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

enum class PieceKind { kLine, kSentence };

// Appends where the pieces of a text of UTF-8 begin, but for the first, which begins at 0. Bytes that are no UTF-8 are
// characters of no kind. One pass.
void append_piece_starts(const std::uint8_t* text, std::size_t size, PieceKind kind, std::vector<std::int64_t>& starts);

}  // namespace pivotkit
