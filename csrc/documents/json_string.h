// JSON strings (RFC 8259) in text that is known to be UTF-8: checked, and unescaped where they are wanted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "documents/wide.h"
#include "unicode/code_points.h"

namespace pivotkit {

// What is checked but not wanted. A surrogate may stand alone there: RFC 8259 (section 8.2) leaves what it means to the
// reader, and nobody reads it.
struct Discard {
  static constexpr bool kPairsOnly = false;
  void wide(const Wide&) noexcept {}
  void skip(std::size_t) noexcept {}
  void byte(std::uint8_t) noexcept {}
  void code(std::uint32_t) noexcept {}
};

// What is wanted, at `out`: room for as many bytes as are read and `Wide::kBytes` more.
struct Write {
  static constexpr bool kPairsOnly = true;
  std::uint8_t* out;

  void wide(const Wide& chunk) noexcept { chunk.store(out); }  // counts only once skipped
  void skip(std::size_t count) noexcept { out += count; }
  void byte(std::uint8_t byte) noexcept { *out++ = byte; }
  void code(std::uint32_t code) noexcept { out += encode(code, out); }
};

constexpr std::uint32_t kNoHex = 0x10000;  // and so is whatever it is shifted and joined to: above 0xffff

constexpr std::array<std::uint32_t, 256> hex_values() {
  std::array<std::uint32_t, 256> values{};
  for (std::size_t i = 0; i < 256; ++i) values[i] = kNoHex;
  for (unsigned i = 0; i < 10; ++i) values['0' + i] = i;
  for (unsigned i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = 10 + i;
  return values;
}
inline constexpr auto kHex = hex_values();

// What a letter behind a backslash means; zero for none, and for the u of a code point.
constexpr std::array<std::uint8_t, 256> escape_values() {
  std::array<std::uint8_t, 256> values{};
  values['"'] = '"';
  values['\\'] = '\\';
  values['/'] = '/';
  values['b'] = '\b';
  values['f'] = '\f';
  values['n'] = '\n';
  values['r'] = '\r';
  values['t'] = '\t';
  return values;
}
inline constexpr auto kEscapes = escape_values();

// The four hexadecimal digits at `p`; above 0xffff when they are not all digits.
inline std::uint32_t hex4(const std::uint8_t* p) noexcept {
  return kHex[p[0]] << 12 | kHex[p[1]] << 8 | kHex[p[2]] << 4 | kHex[p[3]];
}

// `p` at a backslash; moves it behind the escape. False: no valid escape, or a surrogate without its partner where the
// sink takes pairs only.
template <class Sink>
inline bool json_escape(const std::uint8_t*& p, const std::uint8_t* end, Sink& sink) noexcept {
  if (end - p < 2) return false;
  if (const std::uint8_t meant = kEscapes[p[1]]; meant != 0) {
    sink.byte(meant);
    p += 2;
    return true;
  }
  if (p[1] != 'u' || end - p < 6) return false;
  std::uint32_t code = hex4(p + 2);
  if (code > 0xffff) return false;
  if (Sink::kPairsOnly && code - 0xd800u < 0x800u) {
    if (code >= 0xdc00u || end - p < 12 || p[6] != '\\' || p[7] != 'u') return false;
    const std::uint32_t low = hex4(p + 8);
    if (low < 0xdc00u || low > 0xdfffu) return false;
    code = 0x10000u + ((code - 0xd800u) << 10) + (low - 0xdc00u);
    p += 6;
  }
  sink.code(code);
  p += 6;
  return true;
}

// `p` behind the opening quote; moves it behind the closing one. False: no valid string up to `end`.
template <class Sink>
bool json_string(const std::uint8_t*& p, const std::uint8_t* end, Sink& sink) noexcept {
  const std::uint8_t* at = p;  // both in registers: the caller's would be stored at every step
  Sink out = sink;
  for (;;) {
    if (end - at >= static_cast<std::ptrdiff_t>(Wide::kBytes)) {
      const Wide chunk = Wide::load(at);
      out.wide(chunk);
      const auto special = chunk.special();
      if (special == 0) {
        at += Wide::kBytes;
        out.skip(Wide::kBytes);
        continue;
      }
      at += Wide::first(special);
      out.skip(Wide::first(special));
    } else if (at == end) {
      return false;
    }
    if (*at == '\\') {
      do {
        if (!json_escape(at, end, out)) return false;
      } while (at != end && *at == '\\');
    } else if (*at == '"') {
      p = at + 1;
      sink = out;
      return true;
    } else if (*at < 0x20) {
      return false;
    } else {  // near the end of the line
      out.byte(*at);
      ++at;
    }
  }
}

}  // namespace pivotkit
