// Package distributiontoken logs in to registries that use the token
// authentication of the CNCF distribution specification, and turns a long-lived
// login that stays in the driver into a bearer token for named repositories.
package distributiontoken
