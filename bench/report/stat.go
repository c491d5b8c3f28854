package report

import (
	"math"
	"slices"
	"time"
)

// Percentile gives the smallest of the sorted values that at least the share p
// (0 to 1) of them do not exceed: the nearest rank, so it is always a value
// that was measured. No values give 0.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Median gives the middle of the values, or the mean of the two in the middle.
// It leaves the values in their order. No values give 0.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
