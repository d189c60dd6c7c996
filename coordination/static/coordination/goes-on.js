// The page of a long action sends the rest by itself.
document.getElementById("rest").submit();
