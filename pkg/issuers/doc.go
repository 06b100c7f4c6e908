// Package issuers is the contract between regcred's core and the providers of
// credentials: the Issuer interface, its Definition, the typed errors and the
// guarded HTTP client through which every outgoing call goes. The kinds
// themselves live in the folders below; package builtin lists them.
package issuers
