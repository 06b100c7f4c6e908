package issuers

import "context"

type lowPriorityKey struct{}

// WithLowPriority marks calls that can wait, such as renewals: they leave half
// of a provider's budget to those that a new pod waits for.
func WithLowPriority(ctx context.Context) context.Context {
	return context.WithValue(ctx, lowPriorityKey{}, true)
}

// LowPriority reports whether ctx was marked by WithLowPriority.
func LowPriority(ctx context.Context) bool {
	low, _ := ctx.Value(lowPriorityKey{}).(bool)
	return low
}
