// The products of pairs alone; the rest is that of neon.cpp and neoni8mm.cpp.
#define PIVOTKIT_NEON
#include "unembed/isa/tile-inl.h"

const pivotkit::Products pivotkit::kPairsNeonbf16 = kPairs;
