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

bool is_letter(std::uint8_t kind, Code code) noexcept {
  return kind == kSmall || (code >= 'A' && code <= 'Z') || (code >= 0xC0 && code <= 0x17F) ||
         (code >= 0x391 && code <= 0x3A9) || (code >= 0x400 && code <= 0x42F);
}

bool is_space(std::uint8_t kind) noexcept { return kind == kBlank || kind == kBreak || kind == kParagraph; }

// Whether bytes may be the beginning of a character that goes on behind them.
bool is_cut(const std::uint8_t* text, std::size_t size) noexcept {
  return size < 4 && text[0] >= 0xC2 && size < (text[0] < 0xE0 ? 2U : text[0] < 0xF0 ? 3U : 4U);
}

}  // namespace

bool TextCutter::begins_line(std::uint8_t kind) noexcept {
  if (is_space(kind)) {
    state_.breaks += kind != kBlank;
    return false;
  }
  const bool begins = state_.breaks > 0;
  state_.breaks = 0;
  return begins;
}

bool TextCutter::begins_sentence(std::uint8_t kind, std::uint32_t code) noexcept {
  State& s = state_;
  if (is_space(kind)) {
    s.space = true;
    if (kind == kBreak && !(code == '\n' && s.last == '\r')) ++s.breaks;  // CR LF is one
    if (kind == kParagraph) s.breaks = 2;
    s.last = code;
    return false;
  }
  const bool ends = kind == kStop || kind == kWideStop;
  const bool ended = !ends && (s.wide_stop ? kind != kCloser || s.space : s.stop && s.space && kind != kSmall);
  const bool begins = ended || s.breaks >= 2;
  if (begins) s.stop = s.wide_stop = false;
  if (ends && s.space) s.stop = s.wide_stop = false;  // the sentence goes on, and ends here
  const int letters = s.space ? 0 : s.letters;
  if (kind == kStop)
    s.stop = s.stop || code != '.' || letters != 1;
  else if (kind == kWideStop)
    s.wide_stop = true;
  else if (kind != kCloser)
    s.stop = s.wide_stop = false;
  s.letters = is_letter(kind, code) ? std::min(letters + 1, 2) : 0;
  s.space = false;
  s.breaks = 0;
  s.last = code;
  return begins;
}

std::size_t TextCutter::take(const std::uint8_t* text, std::size_t size, bool last, std::vector<std::int64_t>& starts) {
  std::size_t at = 0;
  while (at < size) {
    if (!last && is_cut(text + at, size - at)) break;
    const CodePoint code = text[at] < 0x80 ? CodePoint{text[at], 1} : decode(text + at, size - at);
    const std::uint8_t kind = kind_of(code.value);
    const bool begins = kind_ == PieceKind::kLine ? begins_line(kind) : begins_sentence(kind, code.value);
    if (begins && state_.begun) starts.push_back(static_cast<std::int64_t>(at));
    state_.begun = state_.begun || !is_space(kind);
    at += code.length;
  }
  if (last) state_ = State();
  return at;
}

}  // namespace pivotkit
