// Package state owns what the driver remembers across a restart: the lock that
// keeps a second instance away, the boot id, the driver-private tmpfs that
// holds volume and credential records, and the intents on disk. It knows
// nothing of what the records say: a record is a key and a document that is
// read back whole or not at all.
//
// Two directories are its own:
//
//	StateDir    lock, boot-id, intents/         on disk, fsynced, never a secret
//	RuntimeDir  tmpfs, volumes/, credentials/   memory only, gone after a reboot
//
// Everything is done by system calls; nothing is executed and no mount table
// is read.
package state
