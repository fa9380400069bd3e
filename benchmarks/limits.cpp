// What this machine can do at all: bytes read and multiply-adds done a second, on all its threads, in plain loops that
// nothing but the memory or the arithmetic units can slow. Built by limits.py for the processor it runs on.
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>
#if defined(__AVX512BF16__) || defined(__AMX_BF16__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
using Vector = float __attribute__((vector_size(kBytes)));
constexpr int kSums = 12;  // enough to hide a multiply-add's latency on two units

template <class Body>
void on_threads(int threads, const Body& body) {
  std::vector<std::thread> pool;
  for (int i = 1; i < threads; ++i) pool.emplace_back(body, i);
  body(0);
  for (std::thread& thread : pool) thread.join();
}

// Values that the compiler knows nothing of, so that it can neither merge nor drop what is done with them.
template <class T>
void hide(T& value) {
  asm volatile("" : "+x"(value));
}

void keep(const Vector* sums) { asm volatile("" : : "g"(sums) : "memory"); }

}  // namespace

extern "C" {

void read_bytes(const unsigned char* data, std::int64_t bytes, int threads) {
  on_threads(threads, [&](int thread) {
    const std::int64_t step = kSums * kBytes, steps = bytes / step / threads;
    const unsigned char* at = data + thread * steps * step;
    Vector sums[kSums] = {};
    for (std::int64_t i = 0; i < steps; ++i, at += step) {
      for (int j = 0; j < kSums; ++j) {
        Vector value;
        std::memcpy(&value, at + j * kBytes, kBytes);
        sums[j] += value;
      }
    }
    keep(sums);
  });
}

// Returns the floating-point operations done.
double multiply_adds(std::int64_t rounds, int threads) {
  on_threads(threads, [&](int) {
    Vector sums[kSums] = {}, factor = {}, term = {};
    hide(factor);
    hide(term);
    for (auto& sum : sums) hide(sum);
    for (std::int64_t i = 0; i < rounds; ++i)
      for (int j = 0; j < kSums; ++j) sums[j] = sums[j] * factor + term;
    keep(sums);
  });
  return 2.0 * kSums * (kBytes / 4) * static_cast<double>(rounds) * threads;
}

// The same for products of bfloat16 pairs; 0 where the processor has no instruction for them.
double multiply_add_pairs([[maybe_unused]] std::int64_t rounds, [[maybe_unused]] int threads) {
#if defined(__AVX512BF16__)
  on_threads(threads, [&](int) {
    __m512 sums[kSums];
    for (auto& sum : sums) hide(sum = _mm512_setzero_ps());
    __m512bh factor = (__m512bh)_mm512_setzero_si512(), term = factor;
    hide(factor);
    hide(term);
    for (std::int64_t i = 0; i < rounds; ++i)
      for (int j = 0; j < kSums; ++j) sums[j] = _mm512_dpbf16_ps(sums[j], factor, term);
    keep(reinterpret_cast<const Vector*>(sums));
  });
  return 4.0 * kSums * 16 * static_cast<double>(rounds) * threads;
#else
  return 0.0;
#endif
}

// The same for tiles of bfloat16, of which four sums take two operands each way; 0 where the processor has none. The
// process must have been given leave to use tiles.
double multiply_add_tiles([[maybe_unused]] std::int64_t rounds, [[maybe_unused]] int threads) {
#if defined(__AMX_BF16__)
  struct Config {
    std::uint8_t palette, start_row, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
  };
  on_threads(threads, [&](int) {
    alignas(64) Config config = {};
    config.palette = 1;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] = 64;
      config.rows[tile] = 16;
    }
    asm volatile("" : : "r"(&config) : "memory");  // the intrinsic does not say that it reads
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (std::int64_t i = 0; i < rounds; ++i) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
  });
  return 4.0 * 2 * 16 * 16 * 32 * static_cast<double>(rounds) * threads;
#else
  return 0.0;
#endif
}
}
