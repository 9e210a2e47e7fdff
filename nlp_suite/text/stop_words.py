"""Short lists of stop words. Negations (not, no, nicht, kein) are kept: they decide what a review says."""

_ENGLISH = """
a about above after again all am an and any are as at be because been before being below between both but by
can did do does doing during each few for from further had has have having he her here hers herself him himself
his how i if in into is it its itself just me more most my myself of off on once only or other our ours ourselves
out over own same she should so some such than that the their theirs them themselves then there these they this
those through to too under until up was we were what when where which while who whom why will with would you your
yours yourself yourselves
"""

_GERMAN = """
aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei bin
bis bist da damit dann das dass dein deine deinem deinen deiner dem den denn der derer des dessen dich die dies
diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer eines er es etwas euch euer
eure für gegen hab habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in
ins ist ja jede jedem jeden jeder jedes jene jenem jenen jener jenes jetzt kann können könnte machen man manche
mein meine meinem meinen meiner mich mir mit muss musste nach noch nun nur ob oder sehr sein seine seinem seinen
seiner selbst sich sie sind so solche soll sollte sondern sonst über um und uns unser unsere unter vom von vor war
waren warst was weg weil welche welchem welchen welcher welches wenn werde werden wie wieder will wir wird wirst
wo wollen wollte während würde würden zu zum zur zwar zwischen
"""

LISTS = {"english": tuple(_ENGLISH.split()), "german": tuple(_GERMAN.split())}
