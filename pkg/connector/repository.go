package connector

import (
	"regexp"
	"strings"
)

// MaxScopeItems is how many repositories or actions one scope names at most.
const MaxScopeItems = 64

const (
	maxRepository = 255 // characters, as https://github.com/distribution/reference counts them
	maxAsterisks  = 8
)

// repositorySegment is one path component of a repository name by the OCI
// distribution specification ("Pulling manifests"), where * may stand for
// some characters.
var repositorySegment = regexp.MustCompile(`^[a-z0-9*]+((\.|_|__|-+)[a-z0-9*]+)*$`)

// CheckRepository reports what is wrong with the name of a repository or a
// pattern for some. The error wraps ErrInvalid and reads on after the name.
func CheckRepository(repository string) error {
	if len(repository) > maxRepository {
		return Errorf(ErrInvalid, "is longer than %d characters", maxRepository)
	}
	if strings.Count(repository, "*") > maxAsterisks {
		return Errorf(ErrInvalid, "has more than %d asterisks: write ** for any segments", maxAsterisks)
	}
	for segment := range strings.SplitSeq(repository, "/") {
		switch {
		case segment == "**":
		case strings.Contains(segment, "**"):
			return Errorf(ErrInvalid, "uses ** beside other characters: ** stands alone between slashes, * within a segment")
		case !repositorySegment.MatchString(segment):
			return Errorf(ErrInvalid, "is not a repository or pattern: write lower-case segments without host, tag or digest, for example team/app, team/* or team/**")
		}
	}
	return nil
}
