// VNNI in 256 bits as AVX-512 has it, to be included before csrc/unembed/isa/avx2vnni.cpp on a machine that has the
// one and not the other: the instructions differ in their encoding alone.
#pragma once

#include <immintrin.h>

#undef __AVX512F__
#undef __AVX512VNNI__
#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32(sum, left, right) _mm256_dpbusd_epi32(sum, left, right)
