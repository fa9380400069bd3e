// Sums of the screening by NEON's products of int8 matrices: eight dimensions of two ids with those of two rows at
// once. They are integers, so they are those of every other instruction set. A row's groups come two side by side
// (ScreenKernels::run), so that two rows are one register.
#pragma once

#include "unembed/isa/screen-inl.h"

namespace pivotkit {
namespace {

static_assert(W == 4, "a register holds a group of four ids");

// The eight steps of rows i and i + 1; zeros where the panel has no more rows.
template <int Rows>
inline int8x16_t two_rows(const std::int8_t* hidden, int i) {
  return i + 1 < Rows ? vld1q_s8(hidden + 8 * i) : vcombine_s8(vld1_s8(hidden + 8 * i), vdup_n_s8(0));
}

template <int Rows>
void square_products(const ScreenPanel& panel) {
  constexpr int kPairsOfRows = (Rows + 1) / 2;
  for (int first = 0; first < padded(panel.ids); first += kIds) {
    const std::uint8_t* groups[2] = {groups_of(panel, first), groups_of(panel, first + W)};
    // sum[i][j]: rows 2i, 2i + 1 with ids 2j, 2j + 1: (id, row), the row running first.
    int32x4_t sum[kPairsOfRows][4];
#pragma GCC unroll 8
    for (int i = 0; i < kPairsOfRows; ++i)
      for (int j = 0; j < 4; ++j) sum[i][j] = vdupq_n_s32(0);
    const auto* hidden = reinterpret_cast<const std::int8_t*>(panel.hidden);
    for (std::int64_t g = 0; g < panel.groups; g += 2) {
      uint8x16_t ids[4];
      for (int half = 0; half < 2; ++half) {
        const std::uint8_t* at = groups[half] + g * kLanes * 4;
        const uint32x4_t even = vreinterpretq_u32_u8(vld1q_u8(at));
        const uint32x4_t odd = vreinterpretq_u32_u8(vld1q_u8(at + kLanes * 4));
        ids[2 * half] = vreinterpretq_u8_u32(vzip1q_u32(even, odd));
        ids[2 * half + 1] = vreinterpretq_u8_u32(vzip2q_u32(even, odd));
      }
#pragma GCC unroll 8
      for (int i = 0; i < kPairsOfRows; ++i) {
        const int8x16_t rows = two_rows<Rows>(hidden, 2 * i);
        for (int j = 0; j < 4; ++j) sum[i][j] = vusmmlaq_s32(sum[i][j], ids[j], rows);
      }
      hidden += 8 * Rows;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kPairsOfRows; ++i)
      for (int half = 0; half < 2; ++half) {
        const int32x4_t low = sum[i][2 * half], high = sum[i][2 * half + 1];
        store_logits(panel, 2 * i, first + half * W, vuzp1q_s32(low, high));
        if (2 * i + 1 < Rows) store_logits(panel, 2 * i + 1, first + half * W, vuzp2q_s32(low, high));
      }
  }
}

template <int Rows>
void square_products_for(const ScreenPanel& panel) {
  if (panel.rows == Rows) return square_products<Rows>(panel);
  if constexpr (Rows > 1) square_products_for<Rows - 1>(panel);
}

void screen_squares(const ScreenPanel& panel) {
  square_products_for<kRows>(panel);
  for (int i = 0; i < panel.rows; ++i) screen_row(panel, i, 0, padded(panel.ids));
}

}  // namespace
}  // namespace pivotkit
