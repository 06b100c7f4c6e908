// Package tmpfs shows a volume's files to a pod: a small read-only tmpfs,
// mounted complete in one step and rewritten in place. It owns mounts, names,
// owners and modes below the kubelet directory, and knows nothing of
// credentials, records or CSI. It is made of system calls alone: nothing is
// executed, and the mount table is read by Survey only.
//
// A volume looks like this inside:
//
//	.csi.regcred.dev                 marker: driver and hash of the volume id, root only
//	..gen-3-444-0-XYZ/               one generation of content
//	..gen-3-444-0-XYZ/config.json
//	..gen-3-444-0-XYZ/certs.d     -> ../..dir-2-444-0-ABC
//	..dir-2-444-0-ABC/               content of the directory certs.d
//	..data                        -> ..gen-3-444-0-XYZ
//	config.json                   -> ..data/config.json
//	certs.d                       -> ..data/certs.d
//	..program/                       where the credential helper is mounted, if asked for;
//	                                 bin leads to it as certs.d to its directory
//
// Renaming ..data switches every file at once. A top-level directory lives
// beside the generations, so that one which did not change keeps its inode,
// and with it every subPath mount and open handle, through a switch. The
// numbers in a name are what was written there: how many files, their mode
// and their group; together with the files' bytes they tell equal content
// from changed without listing a directory.
package tmpfs
