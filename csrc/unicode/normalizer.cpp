#include "unicode/normalizer.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/bits.h"
#include "common/hash.h"
#include "common/require.h"

namespace pivotkit {
namespace {

std::uint8_t fold_ascii(std::uint8_t byte) noexcept {
  return byte >= 'A' && byte <= 'Z' ? static_cast<std::uint8_t>(byte | 0x20) : byte;
}

// The same for eight bytes; bytes of 0x80 and more stay as they are.
std::uint64_t fold_ascii(std::uint64_t bytes) noexcept {
  const std::uint64_t upper = swar::in_range(bytes & ~swar::kHigh, 'A', 'Z') & ~bytes;
  return bytes | upper >> 2;
}

void write(const CodePoints& text, std::vector<std::uint8_t>& out) {
  std::uint8_t bytes[4];
  for (const std::uint32_t code : text) {
    const std::size_t size = encode(code, bytes);
    out.insert(out.end(), bytes, bytes + size);
  }
}

}  // namespace

Normalizer::Normalizer(const UnicodeData& data)
    : form_(data), ignorables_(data.roles), index_(std::vector<std::uint16_t>(kCodePoints, kPlain).data()) {
  entries_.push_back({0, 0, true, true, 0});
  entries_.push_back({0, 0, true, false, 0});
  entries_.resize(kIgnored + 1);
  const std::vector<bool> unsafe = unsafe_beginnings();
  CodePoints codes = form_.unusual();
  codes.push_back(kReplacement);  // its bytes must be written where the text's own are ill-formed
  std::vector<std::uint16_t> index(kCodePoints, kPlain);
  std::vector<std::uint8_t> utf8;
  for (const std::uint32_t code : codes) {
    if (form_.is_dropped(code)) {
      index[code] = kDropped;
      continue;
    }
    Entry entry = describe(code, unsafe, utf8);
    std::uint8_t own[4];
    const std::size_t size = encode(code, own);
    if (entry.stable && code != kReplacement && utf8.size() == size && std::equal(utf8.begin(), utf8.end(), own)) {
      index[code] = entry.open ? kPlain : kSame;
      continue;
    }
    if (utf8.size() > 255) refuse("Normalizer", "a normal form", "fit 255 bytes", "more");
    if (entries_.size() > std::numeric_limits<std::uint16_t>::max())
      refuse("Normalizer", "code points that change", "be fewer than 65536", "more");
    entry.begin = static_cast<std::uint32_t>(texts_.size());
    entry.size = static_cast<std::uint8_t>(utf8.size());
    texts_.insert(texts_.end(), utf8.begin(), utf8.end());
    index[code] = static_cast<std::uint16_t>(entries_.size());
    entries_.push_back(entry);
  }
  texts_.resize(texts_.size() + 4);  // one is copied as four bytes
  for (std::uint32_t code = 0; code < kCodePoints; ++code)
    if (ignorables_.has(code)) index[code] = kIgnored;
  index_ = CodePointTable<std::uint16_t>(index.data());
}

// First code points of decompositions of which some composite's folding begins with a code point that leans back.
std::vector<bool> Normalizer::unsafe_beginnings() const {
  std::vector<bool> unsafe(kCodePoints, false);
  CodePoints text, scratch;
  for (const std::uint32_t code : form_.unusual()) {
    text = {code};
    form_.fold(text, scratch);
    form_.decompose(text, scratch);
    if (text.empty() || !form_.leans_back(text.front())) continue;
    text = {code};
    form_.decompose(text, scratch);
    unsafe[text.front()] = true;
  }
  return unsafe;
}

Normalizer::Entry Normalizer::describe(std::uint32_t code, const std::vector<bool>& unsafe,
                                       std::vector<std::uint8_t>& utf8) const {
  const auto is_mark = [this](std::uint32_t part) { return form_.combining(part) != 0; };
  CodePoints decomposed{code}, scratch;
  form_.decompose(decomposed, scratch);
  CodePoints normal{code};
  form_.normalize(normal, scratch);
  utf8.clear();
  write(normal, utf8);
  CodePoints parts = normal;
  form_.decompose(parts, scratch);
  Entry entry{};
  entry.stable =
      !form_.leans_back(decomposed.front()) && !form_.leans_back(parts.front()) && !unsafe[decomposed.front()];
  entry.open = entry.stable && std::none_of(decomposed.begin(), decomposed.end(), is_mark) &&
               std::none_of(parts.begin(), parts.end(), is_mark);
  CodePoints folded{code};
  form_.fold(folded, scratch);
  const CodePoints itself{code};
  if (decomposed == itself && folded == itself && form_.only_moves(code)) entry.quiet_combining = form_.combining(code);
  return entry;
}

void Normalizer::reserve(NormalizedText& out, std::size_t size) {
  // Eight bytes are stored where one may be meant, so some room is always left.
  const std::size_t needed = size + NormalizedText::kPadding;
  if (out.buffer_.size() < needed) out.buffer_.resize(std::max(needed, out.buffer_.size() * 2));
}

// An invariant: the buffer has room for what is written and for as many more bytes as are unread.
void Normalizer::normalize(Bytes text, NormalizedText& out) const {
  reserve(out, text.size);
  std::size_t in = 0, written = 0;
  while (in < text.size) {
    if (text.size - in >= 8) {
      std::uint64_t bytes;
      std::memcpy(&bytes, text.data + in, 8);
      const std::uint64_t folded = fold_ascii(bytes);
      std::memcpy(out.buffer_.data() + written, &folded, 8);
      const std::size_t ascii = swar::first_byte(bytes & swar::kHigh);
      in += ascii;
      written += ascii;
      if (ascii == 8) continue;
    } else if (text.data[in] < 0x80) {
      out.buffer_[written++] = fold_ascii(text.data[in++]);
      continue;
    }
    // Beyond ASCII. Most code points stay as they are, or become one other, and need no more of what came before than
    // its last one.
    std::size_t last = in > 0 ? 1 : 0, last_out = last;  // sizes of the last code point, which is stable
    std::uint32_t floor = in > 0 ? 0 : kClosed;
    while (in < text.size && text.data[in] >= 0x80) {
      const std::size_t unread = text.size - in;
      const CodePoint code = decode(text.data + in, unread);
      const std::uint16_t index = index_[code.value];
      if (index > kSame) {
        const Entry& entry = entries_[index];
        if (entry.stable && entry.size <= code.length) {
          std::memcpy(out.buffer_.data() + written, texts_.data() + entry.begin, 4);
          last = code.length;
          last_out = entry.size;
          in += last;
          written += last_out;
          floor = entry.open ? 0 : kClosed;
          continue;
        }
        State state{in, written, in - last, written - last_out, floor};
        others(text, state, out);
        in = state.in;
        written = state.out;
        continue;
      }
      if (unread >= 4)  // a copy of fixed size, which is one move
        std::memcpy(out.buffer_.data() + written, text.data + in, 4);
      else
        std::memcpy(out.buffer_.data() + written, text.data + in, code.length);
      in += code.length;
      written += code.length;
      last = last_out = code.length;
      floor = index == kPlain ? 0 : kClosed;
    }
  }
  out.size_ = written;
  std::memset(out.buffer_.data() + out.size_, 0, NormalizedText::kPadding);
}

// From a code point that does not stay as it is to the next that does, which is stable.
void Normalizer::others(Bytes text, State& state, NormalizedText& out) const {
  State at = state;  // a copy may live in registers
  while (at.in < text.size && text.data[at.in] >= 0x80) {
    const CodePoint code = decode(text.data + at.in, text.size - at.in);
    const std::uint16_t index = index_[code.value];
    if (index <= kSame) break;
    if (index == kDropped) {
      at.in += code.length;
      continue;
    }
    if (index == kIgnored) {
      ignored(text, at, out);
      continue;
    }
    const Entry& entry = entries_[index];
    if (entry.stable) {
      at.stable_in = at.in;
      at.stable_out = at.out;
      at.floor = entry.open ? 0 : kClosed;
    } else if (entry.quiet_combining != 0 && entry.quiet_combining >= at.floor) {
      at.floor = entry.quiet_combining;
    } else {
      stretch(text, at, out);
      continue;
    }
    if (entry.size > code.length) reserve(out, at.out + entry.size + (text.size - at.in));
    std::memcpy(out.buffer_.data() + at.out, texts_.data() + entry.begin, entry.size);
    at.in += code.length;
    at.out += entry.size;
  }
  state = at;
}

// From a code point that is ignored to the next that is not. What stays is stable, and never longer than what was read.
void Normalizer::ignored(Bytes text, State& state, NormalizedText& out) const {
  out.kept_.clear();
  const std::size_t end = ignorables_.pass(text, state.in, out.kept_);
  if (!out.kept_.empty()) {
    state.stable_in = state.in;
    state.stable_out = state.out;
    state.floor = 0;
    for (const std::uint32_t code : out.kept_) state.out += encode(code, out.buffer_.data() + state.out);
  }
  state.in = end;
}

// Normalizes the text from the last stable code point to the next once more, with NormalForm.
void Normalizer::stretch(Bytes text, State& state, NormalizedText& out) const {
  out.stretch_.clear();
  std::size_t at = state.stable_in;
  while (at < text.size) {
    const CodePoint code = decode(text.data + at, text.size - at);
    if (index_[code.value] == kIgnored) {
      out.kept_.clear();
      const std::size_t end = ignorables_.pass(text, at, out.kept_);
      if (!out.kept_.empty() && !out.stretch_.empty()) break;
      out.stretch_.insert(out.stretch_.end(), out.kept_.begin(), out.kept_.end());
      at = end;
      continue;
    }
    if (!out.stretch_.empty() && entry(code.value).stable) break;
    out.stretch_.push_back(code.value);
    at += code.length;
  }
  form_.normalize(out.stretch_, out.scratch_);
  reserve(out, state.stable_out + out.stretch_.size() * 4 + (text.size - at));
  state.out = state.stable_out;
  for (const std::uint32_t code : out.stretch_) state.out += encode(code, out.buffer_.data() + state.out);
  state.in = at;
  state.floor = kClosed;
}

// The code points from text[at] on, the `source`-th, that are normalized together; returns where they end.
std::size_t Normalizer::members(Bytes text, std::size_t at, std::size_t source, CodePoints& kept,
                                std::vector<Member>& found) const {
  found.clear();
  while (at < text.size) {
    CodePoint code = decode(text.data + at, text.size - at);
    if (index_[code.value] == kIgnored) {
      kept.clear();
      const std::size_t end = ignorables_.pass(text, at, kept);
      if (!kept.empty() && !found.empty()) break;
      for (const std::uint32_t stays : kept) found.push_back({stays, source, false});
      for (; at < end; at += code.length, ++source) {
        code = decode(text.data + at, text.size - at);
        found.push_back({code.value, source, true});
      }
      continue;
    }
    if (!found.empty() && entry(code.value).stable) break;
    found.push_back({code.value, source++, false});
    at += code.length;
  }
  return at;
}

std::vector<Piece> Normalizer::align(Bytes text, NormalizedText& out) const {
  std::vector<Piece> pieces;
  std::vector<std::uint8_t> normal;
  std::vector<Member> group;
  CodePoints joined, alone, parts;
  std::size_t source = 0;
  for (std::size_t at = 0; at < text.size;) {
    const std::size_t first = source;
    at = members(text, at, source, out.kept_, group);
    source = group.back().source + 1;
    joined.clear();
    parts.clear();
    std::vector<Piece> each;
    std::size_t bytes = normal.size();
    for (const Member& member : group) {
      if (member.is_ignored) {
        if (ignorables_.role(member.code) == Role::alone) each.push_back({bytes, member.source});
        continue;
      }
      joined.push_back(member.code);
      alone = {member.code};
      form_.normalize(alone, out.scratch_);
      parts.insert(parts.end(), alone.begin(), alone.end());
      if (!alone.empty() || form_.combining(member.code) == 0) each.push_back({bytes, member.source});
      std::uint8_t ignored[4];
      for (const std::uint32_t code : alone) bytes += encode(code, ignored);
    }
    form_.normalize(joined, out.scratch_);
    if (parts != joined) each = {{normal.size(), first}};
    pieces.insert(pieces.end(), each.begin(), each.end());
    write(joined, normal);
  }
  pieces.push_back({normal.size(), source});
  reserve(out, normal.size());
  std::copy(normal.begin(), normal.end(), out.buffer_.begin());
  out.size_ = normal.size();
  std::memset(out.buffer_.data() + out.size_, 0, NormalizedText::kPadding);
  return pieces;
}

std::size_t Normalizer::bytes() const noexcept {
  return form_.bytes() + ignorables_.bytes() + index_.bytes() + entries_.capacity() * sizeof(Entry) + texts_.capacity();
}

}  // namespace pivotkit
