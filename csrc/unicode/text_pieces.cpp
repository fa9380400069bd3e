#include "unicode/text_pieces.h"

#include <algorithm>
#include <iterator>

#include "unicode/code_points.h"

namespace pivotkit {
namespace {

using Code = std::uint32_t;

enum Kind : std::uint8_t { kOther, kBlank, kBreak, kParagraph, kStop, kWideStop, kCloser, kSmall };

template <std::size_t Size>
bool is_in(const Code (&codes)[Size], Code code) noexcept {
  return std::binary_search(std::begin(codes), std::end(codes), code);
}

Kind wide_kind(Code code) noexcept {
  static constexpr Code kStops[] = {0x589,  0x61D,  0x61E,  0x61F,  0x6D4,  0x964,  0x965,  0x104A,
                                    0x104B, 0x1362, 0x1367, 0x1368, 0x166E, 0x17D4, 0x17D5, 0x2026,
                                    0x203C, 0x203D, 0x2047, 0x2048, 0x2049, 0x2E2E};
  static constexpr Code kWideStops[] = {0x3002, 0xFE12, 0xFE52, 0xFE56, 0xFE57, 0xFF01, 0xFF0E, 0xFF1F, 0xFF61};
  static constexpr Code kClosers[] = {0xBB,   0x2019, 0x201D, 0x203A, 0x2046, 0x3009, 0x300B, 0x300D,
                                      0x300F, 0x3011, 0x3015, 0x3017, 0x3019, 0x301B, 0x301E, 0x301F,
                                      0xFF02, 0xFF07, 0xFF09, 0xFF3D, 0xFF5D, 0xFF63};
  if (code == 0x2029) return kParagraph;
  if (code == 0x85 || code == 0x2028) return kBreak;
  if (code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x202F || code == 0x205F ||
      code == 0x3000)
    return kBlank;
  if ((code >= 0xDF && code <= 0xFF && code != 0xF7) || (code >= 0x3B1 && code <= 0x3C9) ||
      (code >= 0x430 && code <= 0x45F))
    return kSmall;
  if (code >= 0x100 && code <= 0x17F) return (code & 1) != 0 ? kSmall : kOther;  // nearly all in pairs
  if (is_in(kStops, code)) return kStop;
  if (is_in(kWideStops, code)) return kWideStop;
  return is_in(kClosers, code) ? kCloser : kOther;
}

Kind kind_of(Code code) noexcept {
  if (code >= 0x80) return wide_kind(code);
  if (code >= 'a' && code <= 'z') return kSmall;
  switch (code) {
    case '\n':
    case '\r':
    case '\v':
    case '\f':
      return kBreak;
    case ' ':
    case '\t':
    case 0x1C:
    case 0x1D:
    case 0x1E:
    case 0x1F:
      return kBlank;
    case '.':
    case '!':
    case '?':
      return kStop;
    case '"':
    case '\'':
    case ')':
    case ']':
    case '}':
      return kCloser;
    default:
      return kOther;
  }
}

bool is_letter(Kind kind, Code code) noexcept {
  return kind == kSmall || (code >= 'A' && code <= 'Z') || (code >= 0xC0 && code <= 0x17F) ||
         (code >= 0x391 && code <= 0x3A9) || (code >= 0x400 && code <= 0x42F);
}

// What has been read, as far as it tells whether the next character begins a piece.
class Sentence {
 public:
  // Whether a piece begins at this character.
  bool begins(Kind kind, Code code) noexcept {
    const bool is_space = kind == kBlank || kind == kBreak || kind == kParagraph;
    if (is_space) {
      space_ = true;
      if (kind == kBreak && !(code == '\n' && last_ == '\r')) ++breaks_;  // CR LF is one
      if (kind == kParagraph) breaks_ = 2;
      last_ = code;
      return false;
    }
    const bool ends = kind == kStop || kind == kWideStop;
    const bool ended = !ends && (wide_stop_ ? kind != kCloser || space_ : stop_ && space_ && kind != kSmall);
    const bool begins = ended || breaks_ >= 2;
    if (begins) *this = Sentence();
    const int letters = space_ ? 0 : letters_;
    if (ends && space_) stop_ = wide_stop_ = false;  // the sentence goes on, and ends here
    if (kind == kStop) {
      stop_ = stop_ || code != '.' || letters != 1;
    } else if (kind == kWideStop) {
      wide_stop_ = true;
    } else if (kind != kCloser) {
      stop_ = wide_stop_ = false;
    }
    letters_ = is_letter(kind, code) ? letters + 1 : 0;
    space_ = false;
    breaks_ = 0;
    last_ = code;
    return begins;
  }

 private:
  bool stop_ = false, wide_stop_ = false;  // the sentence has ended, but for closing signs and white space
  bool space_ = false;                     // white space before this character
  int breaks_ = 0, letters_ = 0;           // line breaks before it; letters of the word before it
  Code last_ = 0;
};

class Line {
 public:
  bool begins(Kind kind, Code) noexcept {
    if (kind == kBlank) return false;
    if (kind == kBreak || kind == kParagraph) {
      broken_ = true;
      return false;
    }
    const bool begins = broken_;
    broken_ = false;
    return begins;
  }

 private:
  bool broken_ = false;
};

template <class State>
void append(const std::uint8_t* text, std::size_t size, std::vector<std::int64_t>& starts) {
  State state;
  bool begun = false;  // whether there was a character that is not white space
  for (std::size_t at = 0; at < size;) {
    const CodePoint code = text[at] < 0x80 ? CodePoint{text[at], 1} : decode(text + at, size - at);
    const Kind kind = kind_of(code.value);
    if (state.begins(kind, code.value) && begun) starts.push_back(static_cast<std::int64_t>(at));
    begun = begun || (kind != kBlank && kind != kBreak && kind != kParagraph);
    at += code.length;
  }
}

}  // namespace

void append_piece_starts(const std::uint8_t* text, std::size_t size, PieceKind kind,
                         std::vector<std::int64_t>& starts) {
  if (kind == PieceKind::kLine)
    append<Line>(text, size, starts);
  else
    append<Sentence>(text, size, starts);
}

}  // namespace pivotkit
