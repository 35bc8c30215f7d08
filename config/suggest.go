package config

// Nearest returns the name that a person most likely meant by word, or "" when
// none is close: one slip of the fingers for every three letters is close, more
// is a guess. Of equally near names the first wins.
func Nearest(word string, names []string) string {
	best, least := "", len(word)/3+1
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// didYouMean is the end of a sentence about an unknown word, or nothing.
func didYouMean(word string, names []string) string {
	if near := Nearest(word, names); near != "" {
		return `; did you mean "` + near + `"?`
	}
	return ""
}

// distance counts the letters to insert, delete, replace, or swap with their
// neighbour, to make b of a. It compares bytes: keys are ASCII.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
