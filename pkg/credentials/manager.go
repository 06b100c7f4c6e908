package credentials

// Manager is being written.
type Manager struct{}

type shared struct{}
