package edge

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// answerNode answers what another node, or the metadata role, asks of this one.
func answerNode(w http.ResponseWriter, r *http.Request, answer any, err error) {
	var body []byte
	if err == nil {
		body, err = json.Marshal(answer)
	}
	if err != nil {
		writeError(w, r, asAPIError(err))
		return
	}
	sendJSON(w, body)
}

// sendJSON sends an answer that no cache may keep.
func sendJSON(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // whoever is gone may ask again
}
