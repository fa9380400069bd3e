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

// Cuts one text after another, each in parts of any size.
class TextCutter {
 public:
  explicit TextCutter(PieceKind kind) : kind_(kind) {}

  // Takes the next bytes of a text in UTF-8 and appends the places in them where pieces begin; the first piece of a
  // text begins at 0 and is not told. Returns how many bytes were taken: the rest, up to three bytes of a character
  // that is not whole, comes again in the next part. The `last` part is taken wholly, and a new text begins. Bytes that
  // are no UTF-8 are characters of no kind.
  std::size_t take(const std::uint8_t* text, std::size_t size, bool last, std::vector<std::int64_t>& starts);

 private:
  bool begins_line(std::uint8_t kind) noexcept;
  bool begins_sentence(std::uint8_t kind, std::uint32_t code) noexcept;

  // What has been read, as far as it tells whether the next character begins a piece.
  struct State {
    bool begun = false;                    // there was a character that is not white space
    bool stop = false, wide_stop = false;  // the sentence has ended, but for closing signs and white space
    bool space = false;                    // white space before this character
    int breaks = 0;                        // line breaks before it
    int letters = 0;                       // letters before it
    std::uint32_t last = 0;                // the character before it
  };

  PieceKind kind_;
  State state_;
};

}  // namespace pivotkit
