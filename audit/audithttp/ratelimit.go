package audithttp

import (
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// maxPrincipals bounds how many principals a limit remembers.
const maxPrincipals = 10_000

// PerPrincipal is a [Config.RateLimit] for one process: each principal, that is
// tenant and actor, has perSecond requests a second and burst at once. Of more
// than 10,000 principals it forgets those who have been away longest. perSecond must be
// above 0 and burst at least 1.
func PerPrincipal(perSecond float64, burst int) (func(r *http.Request, p auth.Principal) (time.Duration, bool), error) {
	return perPrincipal(perSecond, burst, time.Now)
}

func perPrincipal(perSecond float64, burst int, now func() time.Time) (func(r *http.Request, p auth.Principal) (time.Duration, bool), error) {
	if !(perSecond > 0) {
		return nil, invalid("per_second", "", "must be above 0")
	}
	if burst < 1 {
		return nil, invalid("burst", "", "must be at least 1")
	}
	type key struct {
		tenant event.TenantID
		actor  event.ActorID
	}
	limiters, err := lru.New[key, *rate.Limiter](maxPrincipals)
	if err != nil {
		return nil, err
	}
	return func(_ *http.Request, p auth.Principal) (time.Duration, bool) {
		who := key{p.TenantID, p.ActorID}
		limiter, known := limiters.Get(who)
		if !known {
			limiter = rate.NewLimiter(rate.Limit(perSecond), burst)
			if earlier, found, _ := limiters.PeekOrAdd(who, limiter); found {
				limiter = earlier
			}
		}
		at := now()
		reservation := limiter.ReserveN(at, 1)
		wait := reservation.DelayFrom(at)
		if wait > 0 {
			reservation.CancelAt(at)
		}
		return wait, wait == 0
	}, nil
}
