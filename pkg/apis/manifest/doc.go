// Package manifest reads files of Kubernetes objects strictly and without a
// cluster: YAML or JSON, several documents, List kinds. It reports every
// mistake of an object at once with its field path and line, where the usual
// decoders stop at the first or know no line. It knows no kind of object; the
// Go type to decode into says what is allowed.
//
// Files may hold Secrets, so no text made here quotes a value of an object of
// another API group than regcred's own.
package manifest
