// Package issuertest is the suite that every issuer passes: what the contract
// of package issuers says, tried against a provider that the issuer's own
// tests imitate, with every request of an Issue made to fail in turn. What
// does not apply to an issuer is declared, and the declaration is checked.
package issuertest
